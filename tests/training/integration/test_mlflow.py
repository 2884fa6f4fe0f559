"""MLflow tracking is opt-in, and says how to be installed; tests/tracking has the rest."""

import pytest

from bert_playground import extras
from bert_playground.training import run_training


def test_a_missing_extra_is_told_with_the_command_before_training(
    make_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    config = make_config(**{"tracking.mlflow": True})
    with pytest.raises(ValueError, match="uv sync --extra mlflow"):
        run_training(config)
    assert not config.training.output_dir.exists()


def test_without_the_flag_nothing_of_mlflow_is_written(
    make_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    config = make_config(**{"training.epochs": 1})
    run_training(config)
    assert not list(config.training.output_dir.glob("mlflow*"))
