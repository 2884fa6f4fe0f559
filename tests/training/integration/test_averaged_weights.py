"""training.ema_decay: averaged weights are what is evaluated and kept, raw ones what is resumed."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from bert_playground.inference import Predictor
from bert_playground.training import run_training
from bert_playground.training.core.resume import ARRAYS_NAME


def test_a_run_resumes_bit_for_bit(check_exact_resume) -> None:
    check_exact_resume(**{"training.ema_decay": 0.9})


def test_what_is_kept_is_what_was_evaluated(make_config) -> None:
    config = make_config(**{"training.ema_decay": 0.9, "training.precision": "f32"})
    result = run_training(config)
    assert result.best_checkpoint is not None
    from bert_playground.data.prepare import prepare

    again = Predictor.load(result.best_checkpoint, precision="f32").score(prepare(config).val)
    assert again.loss == pytest.approx(result.metrics["val_loss"], abs=1e-5)


def test_the_raw_weights_are_evaluated_beside_the_average(make_config) -> None:
    summary = run_training(make_config(**{"training.ema_decay": 0.9})).summary
    assert summary["weights"] == "the exponential moving average of the weights (decay 0.9)"
    assert set(summary["raw_metrics"]) == set(summary["last_metrics"])
    assert summary["raw_metrics"]["val_loss"] != summary["last_metrics"]["val_loss"]


def test_a_resumable_checkpoint_holds_both_and_the_final_one_the_average(make_config) -> None:
    run = run_training(make_config(**{"training.ema_decay": 0.9})).run_dir
    arrays = load_file(run.resumable()[-1] / ARRAYS_NAME)
    raw, average = (
        arrays[f"{kind}.encoder.final_norm.weight"] for kind in ("parameters", "average")
    )
    final = load_file(run.final / "model.safetensors")["model.final_norm.weight"]
    assert not np.array_equal(raw, average)
    np.testing.assert_array_equal(final, average)


def test_without_it_nothing_is_averaged(make_config) -> None:
    run = run_training(make_config(**{"training.ema_decay": 0})).run_dir
    arrays = load_file(run.resumable()[-1] / ARRAYS_NAME)
    assert not any(name.startswith("average") for name in arrays)


def test_without_an_average_there_are_no_raw_metrics(make_config) -> None:
    summary = run_training(make_config(**{"training.ema_decay": 0, "training.epochs": 1})).summary
    assert (summary["weights"], summary["raw_metrics"]) == ("the weights as they are", {})
