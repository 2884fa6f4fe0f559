"""quantize_checkpoint: a smaller folder that answers nearly the same, measured on rows that were held out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bert_playground.data.reading.table import read_table
from bert_playground.inference import Predictor
from bert_playground.logger import logger
from bert_playground.models.checkpoint import load_model
from bert_playground.models.quantization_utils import quantized_layers
from bert_playground.models.tokenwise import named_parameters
from bert_playground.training.evaluation.quantize import quantize_checkpoint
from bert_playground.training.run import run_training

pytestmark = pytest.mark.medium

SIZES = {"model.hidden_size": 64, "model.intermediate_size": 128, "model.num_heads": 4}


@pytest.fixture
def checkpoint(train_once) -> Path:
    learning = {"training.epochs": 6, "optimizer.learning_rate": 5e-3}
    return train_once("kind", **SIZES, **learning).best_checkpoint


def test_a_smaller_checkpoint_answers_nearly_the_same(
    checkpoint: Path, fruit: Path, tmp_path: Path
) -> None:
    frame = read_table(fruit)
    before = Predictor.load(checkpoint, precision="f32")
    full = before.predict(frame)
    whole = named_parameters(load_model(checkpoint))
    bytes_before = sum(array.nbytes for array in whole.values())
    done = quantize_checkpoint(before, tmp_path / "small", bits=8, group_size=32)
    after = Predictor.load(tmp_path / "small", precision="f32")
    assert quantized_layers(after.model)
    assert 0 < np.abs(after.predict(frame) - full).max() < 0.05
    assert done.before.memory_bytes == bytes_before
    assert done.after.memory_bytes == sum(
        array.nbytes for array in named_parameters(after.model).values()
    )
    file = tmp_path / "small" / "model.safetensors"
    assert done.after.disk_bytes == file.stat().st_size < done.before.disk_bytes
    assert done.rows == 24
    assert "which also chose its best epoch" in done.source
    assert done.after.metrics["loss"] == pytest.approx(done.before.metrics["loss"], abs=0.05)
    assert {"loss", "accuracy"} < set(done.after.metrics)


def test_bits_are_chosen_on_the_given_rows(checkpoint: Path, fruit: Path, tmp_path: Path) -> None:
    done = quantize_checkpoint(
        Predictor.load(checkpoint), tmp_path / "mixed", mean_bits=6.0, group_size=32, data=fruit
    )
    bits = {choice.name: choice.bits for choice in done.choices}
    stored = quantized_layers(Predictor.load(tmp_path / "mixed").model)
    assert {name: layer.bits for name, layer in stored.items()} == bits
    weights = sum(choice.num_weights for choice in done.choices)
    assert sum(c.num_weights * c.bits for c in done.choices) <= 6.0 * weights
    assert done.rows == 120
    section = json.loads((tmp_path / "mixed" / "config.json").read_text())["quantization"]
    assert section["group_size"] == 32


def test_a_checkpoint_outside_a_run_is_quantized_unmeasured(
    checkpoint: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(checkpoint, tmp_path / "moved")
    done = quantize_checkpoint(Predictor.load(moved), tmp_path / "small")
    assert (done.rows, done.before.metrics, done.after.metrics) == (0, {}, {})
    assert done.source.startswith("not measured: ")
    with pytest.raises(ValueError, match="give rows that it was not trained on with --data"):
        quantize_checkpoint(Predictor.load(moved), tmp_path / "mixed", mean_bits=5.0)
    assert not (tmp_path / "mixed").exists()


def test_adapters_are_merged_first(make_config, fruit: Path, tmp_path: Path) -> None:
    lora = {"lora.enabled": True, "lora.preset": "efficient", "training.epochs": 2}
    run = run_training(make_config("kind", **SIZES, **lora))
    full = Predictor.load(run.best_checkpoint, precision="f32").predict(read_table(fruit))
    quantize_checkpoint(
        Predictor.load(run.best_checkpoint, precision="f32"), tmp_path / "s", bits=8, group_size=32
    )
    after = Predictor.load(tmp_path / "s", precision="f32")
    assert quantized_layers(after.model)
    assert np.abs(after.predict(read_table(fruit)) - full).max() < 0.05


def test_an_existing_folder_is_never_overwritten(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="exists already; choose a new folder"):
        quantize_checkpoint(Predictor.load(checkpoint), tmp_path / "there")


def test_int8_products_of_quantized_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    quantize_checkpoint(Predictor.load(checkpoint), tmp_path / "small")
    with pytest.raises(ValueError, match=r"quantized already; leave out int8|native CPU kernels"):
        Predictor.load(tmp_path / "small", precision="int8")


def test_rows_that_are_written_otherwise_are_reported(
    checkpoint: Path, fruit: Path, tmp_path: Path
) -> None:
    table = tmp_path / "shouted.csv"
    table.write_text(fruit.read_text().replace("red", "mauve").replace("north", "NORTH"))
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{message}")
    done = quantize_checkpoint(Predictor.load(checkpoint), tmp_path / "small", data=table)
    logger.remove(sink)
    found = [(finding.column, finding.what) for finding in done.drift]
    assert found == [("colour", "unseen"), ("shop", "respelled")]
    assert sum(line.startswith(("colour: ", "shop: ")) for line in lines) == 2
    same = quantize_checkpoint(Predictor.load(checkpoint), tmp_path / "same", data=fruit)
    assert same.drift == ()
