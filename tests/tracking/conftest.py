"""Fixtures: an empty store, whose tables are made once, and a configuration of a small run that is tracked."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bert_playground.extras import missing_modules
from bert_playground.tracking import connect, store_address
from bert_playground.tracking.ui import mlflow_version
from tests.training.integration.conftest import configure, fruit

__all__ = ["fruit"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """MLflow and SQLAlchemy warn of each other, and leave connections to the garbage collector."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "unit" not in item.path.parts:
            for warning in (
                "ignore::DeprecationWarning",
                "ignore::ResourceWarning",
                "ignore::pytest.PytestUnraisableExceptionWarning",
                r"ignore::UserWarning:mlflow(\.|$)",
                "ignore::FutureWarning:mlflow",
            ):
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make: once for all processes and later runs; tests copy it."""
    if missing := missing_modules("mlflow"):
        pytest.skip(f"the mlflow extra is not installed: {', '.join(missing)}")
    folder = tmp_path_factory.getbasetemp().parent / f"mlflow_{mlflow_version()}"
    connect(store_address(folder))  # which makes it whole or not at all
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def new_store(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A function that makes an output folder with an empty store."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("output")
        shutil.copy2(tables, folder / "mlflow.db")
        return folder

    return make


@pytest.fixture(scope="session")
def track(fruit: Path, new_store: Callable[[], Path]) -> Callable[..., Any]:
    """A function that trains a small tracked run of the experiment "fruit" in a new store; returns its result and store."""

    def train(train: Callable[..., Any], target: str = "ripe", **settings: object) -> Any:
        output = new_store()
        asked = {"tracking.mlflow": True, "tracking.experiment": "fruit", **settings}
        config = configure(fruit, output, target, **asked)
        sources = dict.fromkeys(asked, "--set") | {"training.epochs": "flag"}
        return train(config, sources), output

    return train


@pytest.fixture(scope="session")
def load_pyfunc() -> Callable[..., Any]:
    """A function of store, run and checkpoint: our predictor, and the model of the run as mlflow.pyfunc loads it."""
    loaded: dict[str, Any] = {}

    def load(store: Any, run: Any, checkpoint: Path) -> Any:
        if run.run_id not in loaded:
            import mlflow.pyfunc

            from bert_playground.ensemble_predictor import load_predictor

            with store.as_default():
                model = mlflow.pyfunc.load_model(f"models:/{run.model_id}")
            loaded[run.run_id] = load_predictor(checkpoint), model
        return loaded[run.run_id]

    return load
