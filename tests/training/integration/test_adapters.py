"""Runs with adapters on a checkpoint: they learn, save the adapter alone, resume exactly, merge and predict."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.config import load_config
from bert_playground.config.schema import RunConfig
from bert_playground.data.reading.table import read_table
from bert_playground.export.merged import merge_adapter
from bert_playground.inference import Predictor
from bert_playground.runs import RunDir
from bert_playground.training import build, run_training
from bert_playground.training.core import Callback
from bert_playground.training.core.state import TrainState
from bert_playground.training.run_folder import RunResult
from tests.tolerances import ADAPTER

KINDS: dict[str, dict[str, Any]] = {
    "lora": {"lora.preset": "balanced"},
    "dora": {"lora.preset": "dora", "lora.bias": "all"},
    "qlora": {"lora.preset": "qlora_memory", "lora.group_size": 32},
}
LEARNING = {
    "training.epochs": 6,
    "optimizer.learning_rate": 2e-2,
    "training.early_stopping_patience": 0,
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def base(train_once: Callable[..., RunResult]) -> Path:
    """A checkpoint to stand on: a run of one epoch on another target."""
    settings = {"model.hidden_size": 32, "model.intermediate_size": 64, "model.num_layers": 2}
    return train_once("kind", **settings, **{"training.epochs": 1}).run_dir.final


@pytest.fixture
def make_adapted(make_config: Callable[..., RunConfig], base: Path) -> Callable[..., RunConfig]:
    """A function of further settings that gives a small configuration with adapters on the base."""

    def make(kind: str, **settings: object) -> RunConfig:
        lora = {"lora.enabled": True, "lora.r": 4, **KINDS[kind]}
        return make_config(**{"model.pretrained": str(base), **lora, **LEARNING, **settings})

    return make


def tensors(folder: Path) -> dict[str, mx.array]:
    return mx.load(str(folder / "adapter_model.safetensors"))


@every_kind
@pytest.mark.quick_for("lora")
def test_a_run_keeps_the_adapter_alone_and_predicts_with_it(
    make_adapted: Callable[..., RunConfig], base: Path, fruit: Path, tmp_path: Path, kind: str
) -> None:
    result = run_training(make_adapted(kind))
    assert result.metrics["val_accuracy"] >= 0.9
    assert result.summary["trained_parameters"] < result.summary["parameters"] / 2
    for folder in (result.run_dir.best, result.run_dir.final, *result.run_dir.resumable()):
        assert not (folder / "model.safetensors").exists()
        assert (folder / "adapter_config.json").is_file()
        assert (folder / "pipeline.json").is_file()
        size = (folder / "adapter_model.safetensors").stat().st_size
        assert size < (base / "model.safetensors").stat().st_size
    frame = read_table(fruit)
    predictor = Predictor.load(result.run_dir.path, precision="f32")
    assert (predictor.labels(frame) == frame["ripe"]).mean() >= 0.9
    merged = merge_adapter(result.run_dir.path, tmp_path / "merged")
    assert merged.base == str(base.resolve())
    assert merged.largest_difference < ADAPTER
    alone = Predictor.load(tmp_path / "merged", precision="f32")
    assert np.allclose(alone.predict(frame), predictor.predict(frame), atol=1e-4)
    with pytest.raises(ValueError, match=r"merged holds no adapter"):
        merge_adapter(tmp_path / "merged", tmp_path / "again")
    with pytest.raises(ValueError, match="not empty; give a new folder"):
        merge_adapter(result.run_dir.path, tmp_path / "merged")


@pytest.mark.parametrize("kind", ["dora", "qlora"])  # all that dora saves includes lora's
@pytest.mark.medium
def test_a_run_with_adapters_resumes_exactly(
    make_adapted: Callable[..., RunConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    class Fail(Callback):
        def on_step_end(self, state: TrainState) -> None:
            if state.step == 10:
                raise RuntimeError("as a broken kernel would")

    settings = {"training.epochs": 3, "checkpoint.save_steps": 4}
    whole = run_training(
        make_adapted(kind, **settings, **{"training.output_dir": tmp_path / "whole"})
    )
    config = make_adapted(kind, **settings, **{"training.output_dir": tmp_path / "failed"})
    with monkeypatch.context() as patch:
        make_callbacks = build._make_callbacks
        patch.setattr(build, "_make_callbacks", lambda *a: [*make_callbacks(*a), Fail()])
        with pytest.raises(RuntimeError, match="broken kernel"):
            run_training(config)
    (folder,) = config.training.output_dir.iterdir()
    resumed = run_training(config, resume=folder)
    first, second = (tensors(RunDir(run.run_dir.path).final) for run in (whole, resumed))
    assert set(first) == set(second)
    assert all(mx.array_equal(first[name], second[name]) for name in first)
    assert resumed.metrics == whole.metrics


def test_a_base_that_changed_is_refused(
    make_adapted: Callable[..., RunConfig], base: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(base, tmp_path / "base")
    settings = {"training.epochs": 1, "model.pretrained": str(base)}
    result = run_training(make_adapted("lora", **settings))
    weights = mx.load(str(base / "model.safetensors"))
    weights = {name: weight + 0.01 for name, weight in weights.items()}
    mx.eval(weights)
    mx.save_safetensors(str(base / "model.safetensors"), weights)
    with pytest.raises(ValueError, match="was trained on another base"):
        Predictor.load(result.run_dir.path)


def test_every_key_of_the_lora_section_reaches_the_adapter(tmp_path: Path, base: Path) -> None:
    from bert_playground.models.factory import create_from_config
    from bert_playground.tasks import TASKS

    (tmp_path / "config.yaml").write_text(
        """
lora:
  enabled: true
  preset: efficient
  r: 3
  alpha: 5
  dropout: 0.2
  target_modules: [query, up]
  rank_pattern: {query: 2, "layers.1.up": 4}
  alpha_pattern: {up: 7}
  layers_to_transform: [1]
  bias: lora_only
  modules_to_save: [final_norm]
  use_rslora: true
  use_dora: true
"""
    )
    config, sources = load_config(
        tmp_path / "config.yaml", {}, {"model.pretrained": str(base), "data.max_length": 64}
    )
    assert sources["lora.rank_pattern"].endswith("config.yaml")
    model = create_from_config(config, TASKS["binary"], 2, vocab_size=50)
    asked = model.adapter.config
    assert (asked.r, asked.alpha, asked.dropout, asked.bits) == (3, 5, 0.2, None)
    assert asked.target_modules == ("query", "up")
    assert asked.layers_to_transform == (1,)
    up = model.encoder.layers[1].feed_forward.up
    assert (up.ranks, up.scales) == ((4,), (7 / 2,))
    assert "magnitude" in up
    assert model.encoder.layers[1].attention.qkv.ranks == (2,)
    assert not hasattr(model.encoder.layers[0].attention.qkv, "ranks")
    with pytest.raises(ValueError, match=r"lora.rank_pattern.*greater than 0"):
        load_config(None, {"BERT_LORA__RANK_PATTERN": "{query: 0}"}, {})
    with pytest.raises(ValueError, match=r"lora.bits.*4 or 8"):
        load_config(None, {}, {"lora.bits": 3})
