"""MLflow, in one room: store, queue, tracked runs and their models."""

from .store import choose_store as choose_store
from .store import connect as connect
from .store import require_mlflow as require_mlflow
from .store import store_address as store_address
from .tracked_run import TrackedRun as TrackedRun
