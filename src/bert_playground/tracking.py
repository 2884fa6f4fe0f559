"""MLflow: start a run, log parameters, metrics and a checkpoint."""

import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INSTALL = 'uv sync --extra mlflow, or pip install "bert-playground[mlflow]"'


class TrackedRun:
    """One run in an MLflow database that lies beside the run folders; nothing leaves the machine.

    The store is SQLite because MLflow 3.13 and later refuse the old `./mlruns` folder of files.
    """

    def __init__(self, output_dir: Path, experiment: str, name: str) -> None:
        """Start a run.

        Args:
            output_dir: gets `mlflow.db` and `mlflow_artifacts/`.
            experiment: made if it does not exist.
            name: of the run, such as its folder's name.

        Raises:
            ValueError: MLflow is not installed.
        """
        mlflow = _import_mlflow()
        self._entities = mlflow.entities
        self.address = store_address(output_dir)
        self.client = mlflow.MlflowClient(tracking_uri=self.address)
        self.run_id: str = self.client.create_run(
            self._experiment_id(output_dir, experiment), run_name=name
        ).info.run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record settings; long values are cut to the 6000 characters that MLflow takes."""
        entries = [self._entities.Param(name, str(value)[:6000]) for name, value in params.items()]
        self.client.log_batch(self.run_id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record values at an optimizer step, all in one transaction: the database takes milliseconds for each."""
        now = int(time.time() * 1000)
        entries = [
            self._entities.Metric(name, float(value), now, step) for name, value in metrics.items()
        ]
        self.client.log_batch(self.run_id, metrics=entries)

    def log_folder(self, folder: Path, name: str) -> None:
        """Copy a folder's files to the artifacts."""
        self.client.log_artifacts(self.run_id, str(folder), artifact_path=name)

    def log_file(self, path: Path) -> None:
        """Copy a file to the artifacts."""
        self.client.log_artifact(self.run_id, str(path))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.run_id, status=status)

    def _experiment_id(self, output_dir: Path, experiment: str) -> str:
        found = self.client.get_experiment_by_name(experiment)
        if found is not None:
            return str(found.experiment_id)
        artifacts = (output_dir.resolve() / "mlflow_artifacts").as_uri()
        return str(self.client.create_experiment(experiment, artifact_location=artifacts))


def store_address(output_dir: Path) -> str:
    """The tracking URI of the database under an output folder; absolute, so that it holds from any directory."""
    return f"sqlite:///{output_dir.resolve() / 'mlflow.db'}"


def require_mlflow() -> None:
    """Check before hours of training that the extra is there.

    Raises:
        ValueError: it is not; says how to install it.
    """
    _import_mlflow()


def _import_mlflow() -> Any:
    try:
        importlib.import_module("sqlalchemy")
        importlib.import_module("alembic")
        return importlib.import_module("mlflow")
    except ImportError as error:
        raise ValueError(
            f"MLflow tracking needs an extra that is not installed ({error}); run: {INSTALL}"
        ) from error
