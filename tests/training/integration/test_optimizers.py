"""Optimizers, averages and regularisers in whole runs: what they change, what is kept, and that a broken run goes on exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bert_playground.logger import logger
from bert_playground.runs import RunDir
from bert_playground.training import run_training
from bert_playground.training.core.resume import ARRAYS_NAME

EXACT: dict[str, dict[str, Any]] = {
    "adam": {"optimizer.type": "adam", "scheduler.type": "polynomial"},
    "nesterov": {
        "optimizer.type": "sgd",
        "optimizer.nesterov": True,
        "scheduler.type": "one_cycle",
    },
    "lion": {"optimizer.type": "lion", "scheduler.type": "cosine_with_restarts"},
    "adafactor": {"optimizer.type": "adafactor", "scheduler.type": "warmup_stable_decay"},
    "muon, rates by layer": {"optimizer.type": "muon", "optimizer.layer_decay": 0.8},
    "muon, adapters, average, accumulation": {
        "optimizer.type": "muon",
        "lora.enabled": True,
        "training.ema_decay": 0.9,
        "training.gradient_accumulation_steps": 2,
        "training.batch_size": 8,
    },
    "swa": {"training.swa_start": 0.4},
    "gradual unfreezing, average": {
        "training.gradual_unfreezing": True,
        "training.ema_decay": 0.9,
    },
    "frozen embeddings": {"training.freeze": "embeddings", "training.ema_decay": 0.0},
    "r-drop, mixup, awp": {
        "training.r_drop": 0.5,
        "training.mixup": 0.4,
        "training.adversarial": "awp",
    },
    "fgm, adapters, accumulation": {
        "training.adversarial": "fgm",
        "lora.enabled": True,
        "training.gradient_accumulation_steps": 2,
        "training.batch_size": 8,
    },
}
TWO_LAYERS = {"model.num_layers": 2}


@pytest.mark.parametrize("settings", EXACT.values(), ids=EXACT)
@pytest.mark.medium
def test_a_broken_run_goes_on_bit_for_bit(check_exact_resume, settings: dict[str, Any]) -> None:
    check_exact_resume(**{"checkpoint.save_steps": 4, **settings})


def arrays_of(run: RunDir, number: int = -1) -> dict[str, np.ndarray]:
    return load_file(run.resumable()[number] / ARRAYS_NAME)


def hear(train, *arguments: Any) -> tuple[Any, str]:
    """The result of a run, and its log."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]))
    try:
        return train(*arguments), "\n".join(said)
    finally:
        logger.remove(sink)


def test_swa_keeps_the_mean_of_the_last_steps(make_config) -> None:
    # Two epochs of 6 steps; after half of them every checkpoint of a step holds the raw weights.
    config = make_config(
        **{"training.swa_start": 0.5, "checkpoint.save_steps": 1, "checkpoint.keep_last": 12}
    )
    result, said = hear(run_training, config)
    run = result.run_dir
    (name,) = [n for n in arrays_of(run) if n == "parameters.encoder.final_norm.weight"]
    total = len(run.resumable())
    raw = np.mean([arrays_of(run, number)[name] for number in range(total // 2, total)], axis=0)
    final = load_file(run.final / "model.safetensors")["model.final_norm.weight"]
    np.testing.assert_allclose(final, raw, rtol=1e-5, atol=1e-7)
    assert not any(n.startswith("average") for n in arrays_of(run, total // 2 - 1))
    assert "the mean of the weights after 50 % of the steps" in said
    assert "after 50 %" in result.summary["weights"]


def test_layers_are_unfrozen_one_by_one(make_config) -> None:
    config = make_config(
        **{"training.gradual_unfreezing": True, "training.ema_decay": 0.0, "training.epochs": 3},
        **TWO_LAYERS,
    )
    result, said = hear(run_training, config)
    assert "gradual unfreezing: the head alone in epoch 1" in said
    assert "1 of 4 stay frozen, for want of epochs" in said
    first, last = arrays_of(result.run_dir, -2), arrays_of(result.run_dir, -1)
    assert {name for name in first if name.startswith("steps.")} == {"steps.layer_2", "steps.layer_3"}  # fmt: skip
    assert "steps.layer_1" in last
    assert not any(".embeddings." in name for name in last)
    assert last["steps.layer_3"] == 3 * last["steps.layer_1"] == 1.5 * last["steps.layer_2"]


@pytest.mark.parametrize(
    ("part", "frozen"),
    [("embeddings", ["embeddings"]), (1, ["embeddings", "layers.0"]), ("encoder", ["encoder"])],
)
def test_what_is_frozen_does_not_change(make_config, part: object, frozen: list[str]) -> None:
    settings = {"training.freeze": part, "training.ema_decay": 0.0, "training.epochs": 1}
    config = make_config(**settings, **TWO_LAYERS)
    trained = {
        name.removeprefix("parameters.")
        for name in arrays_of(run_training(config).run_dir)
        if name.startswith("parameters.")
    }
    assert trained
    for name in ("encoder.embeddings.words.weight", "encoder.layers.0.attention.qkv.weight", "encoder.layers.1.attention.qkv.weight"):  # fmt: skip
        assert (name in trained) is not any(each in name for each in frozen)


def test_more_layers_than_there_are_cannot_be_frozen(make_config) -> None:
    with pytest.raises(ValueError, match=r"training.freeze is 3, but the encoder has 2 layers"):
        run_training(make_config(**{"training.freeze": 3}, **TWO_LAYERS))


def test_a_frozen_layer_learns_nothing_and_costs_no_state(make_config, tmp_path: Path) -> None:
    config = make_config(**{"training.freeze": "encoder", "training.epochs": 1})
    arrays = arrays_of(run_training(config).run_dir)
    assert not any(name.startswith(("m.encoder", "v.encoder")) for name in arrays)
