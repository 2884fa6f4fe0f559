"""MLflow tracking is opt-in, local, and says how to be installed."""

from typing import TYPE_CHECKING

import pytest

from bert_playground import tracking
from bert_playground.training import run_training

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_extra_is_told_with_the_command_before_training(
    make_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(tracking.importlib, "import_module", fail)
    config = make_config(**{"tracking.mlflow": True})
    with pytest.raises(ValueError, match="uv sync --extra mlflow"):
        run_training(config)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of MLflow and SQLAlchemy about each other
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tracked_run_has_settings_metrics_and_the_best_checkpoint(make_config) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    pytest.importorskip("sqlalchemy", reason="the mlflow extra is not installed")
    pytest.importorskip("alembic", reason="the mlflow extra is not installed")
    config = make_config(**{"tracking.mlflow": True, "tracking.experiment": "fruit"})
    result = run_training(config)
    output_dir: Path = config.training.output_dir
    client = mlflow.MlflowClient(tracking_uri=tracking.store_address(output_dir))
    experiment = client.get_experiment_by_name("fruit")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == result.run_dir.path.name
    assert run.info.status == "FINISHED"
    assert run.data.params["training.epochs"] == "3"
    assert run.data.metrics["val_loss"] == pytest.approx(result.summary["last_metrics"]["val_loss"])
    assert len(client.get_metric_history(run.info.run_id, "val_accuracy")) == 3
    assert "checkpoint/model.safetensors" in {
        file.path for file in client.list_artifacts(run.info.run_id, "checkpoint")
    }
    assert (output_dir / "mlflow_artifacts").is_dir()
