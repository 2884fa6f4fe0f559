"""An ONNX folder: predict.py answers as `bert predict` does, alone; what cannot be written leaves nothing behind."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config.load import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.export import export_model
from bert_playground.export.onnx import build, find_graphs, inspect_onnx, load_onnx_predictor
from bert_playground.export.onnx.folder import REPORT
from bert_playground.training.run import run_training


def train(train: Path, output: Path, **more: Any) -> Path:
    flags = {
        "data.train": train,
        "training.output_dir": output,
        "training.use_compilation": False,
        "training.precision": "f32",
        **more,
    }
    config, _ = load_config("test", {}, flags)
    return run_training(config).run_dir.path


@pytest.fixture(scope="module")
def run(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(passengers / "train.csv", tmp_path_factory.mktemp("output"))


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(run, tmp_path_factory.mktemp("onnx") / "out", format="onnx").folder


def answer_alone(folder: Path, table: Path, output: Path, *flags: str) -> list[list[str]]:
    """What predict.py writes, in a Python that cannot see this package."""
    command = [sys.executable, str(folder / "predict.py"), str(table), str(output), *flags]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder.parent, env=environment
    )
    assert done.returncode == 0, done.stderr
    with output.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_same(ours: list[list[str]], theirs: list[list[str]]) -> None:
    """Ids and labels are equal, and numbers but for rounding."""
    assert ours[0] == theirs[0]
    assert len(ours) == len(theirs)
    for row, other in zip(ours[1:], theirs[1:], strict=True):
        for cell, expected in zip(row, other, strict=True):
            if cell != expected:
                assert float(cell) == pytest.approx(float(expected), rel=1e-4, abs=1e-4)


def check_predictions(run: Path, folder: Path, test: Path, tmp_path: Path, *flags: str) -> None:
    output = tmp_path / "bert.csv"
    command = ["predict", "--test", test, "--checkpoint", run, "--output", output, *flags]
    done = invoke(*command, "--precision", "f32")
    assert done.exit_code == 0, done.output
    with output.open(newline="", encoding="utf-8") as file:
        expected = list(csv.reader(file))
    check_same(answer_alone(folder, test, tmp_path / "alone.csv", *flags), expected)
    done = invoke(*command, "--engine", "onnx")
    assert done.exit_code == 0, done.output
    with output.open(newline="", encoding="utf-8") as file:
        check_same(list(csv.reader(file)), expected)


@pytest.mark.medium
def test_the_folder_holds_all_that_answering_needs(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "README.md",
        "config.json",
        "export_report.json",
        "model.onnx",
        "pipeline.json",
        "plan.json",
        "predict.py",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    report = json.loads((folder / REPORT).read_text())
    assert report["largest_logit_difference"] < 1e-4
    assert "validation rows" in report["compared_on"]
    names = [case["name"] for case in report["cases"][0]]
    assert names == ["real rows", "one token", "short", "padded", "beyond the window", "longest"]


@pytest.mark.parametrize("flags", [(), ("--proba",)])
@pytest.mark.quick_for("flags0")
def test_predict_py_answers_as_bert_predict(
    run: Path, folder: Path, passengers: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    check_predictions(run, folder, passengers / "test.csv", tmp_path, *flags)


def test_bert_predict_reads_the_folder(folder: Path, run: Path, passengers: Path) -> None:
    table = read_table(passengers / "test.csv")
    theirs = load_predictor(run, precision="f32").predict(table)
    np.testing.assert_allclose(load_onnx_predictor(folder).predict(table), theirs, atol=1e-5)
    variants = load_onnx_predictor(folder).score(table, num_variants=2).scores
    ours = load_predictor(run, precision="f32").score(table, num_variants=2).scores
    np.testing.assert_allclose(variants, ours, atol=1e-5)


def test_a_precision_of_mlx_is_refused_by_the_other_engine(run: Path, passengers: Path) -> None:
    command = ["predict", "--test", passengers / "test.csv", "--checkpoint", run]
    done = invoke(*command, "--engine", "onnx", "--precision", "bf16")
    assert done.exit_code == 2
    assert "computes in f32, not bf16" in done.output


def test_the_mlx_engine_names_the_other_one(folder: Path, passengers: Path) -> None:
    done = invoke("predict", "--test", passengers / "test.csv", "--checkpoint", folder)
    assert done.exit_code == 2
    assert "add --engine onnx" in done.output


@pytest.mark.parametrize("dtype", ["f16", "int8"])
@pytest.mark.quick_for("f16")
def test_smaller_numbers_tell_what_they_cost(
    run: Path, folder: Path, tmp_path: Path, dtype: str
) -> None:
    exported = export_model(run, tmp_path / "out", format="onnx", dtype=dtype)
    size = (tmp_path / "out" / "model.onnx").stat().st_size
    assert size < (folder / "model.onnx").stat().st_size
    assert any(note.startswith(f"{dtype} costs accuracy") for note in exported.notes)
    assert any("rows another label" in note for note in exported.notes)
    cost = json.loads((tmp_path / "out" / REPORT).read_text())["cost"]
    assert set(cost["before"]) == set(cost["after"])


@pytest.mark.parametrize("dtype", ["f32", "f16", "int8"])
@pytest.mark.quick_for("f32")
def test_weights_of_a_large_model_lie_beside_the_graph(
    run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """As if a message could hold less."""
    monkeypatch.setattr(build, "MOST_BYTES", 20_000)
    exported = export_model(run, tmp_path / "out", format="onnx", dtype=dtype)
    assert ("model.onnx_data" in exported.files) == (dtype != "int8")
    assert not any(name.startswith("whole") for name in exported.files)
    if dtype == "f32":
        assert inspect_onnx(tmp_path / "out")["parameters"] == inspect_onnx(folder)["parameters"]
    with pytest.raises(ValueError, match="write it with bert model export"):
        load_onnx_predictor(run)


@pytest.mark.medium
def test_an_ensemble_is_averaged(passengers: Path, tmp_path: Path) -> None:
    command = ["train", "--config", "test", "--no-compile", "--ensemble", 2, "--diversity", "heads"]
    done = invoke(
        *command, "--train", passengers / "train.csv", "--output", tmp_path / "o", "--json"
    )
    assert done.exit_code == 0, done.output
    together = next((tmp_path / "o").iterdir())
    exported = export_model(together, tmp_path / "out", format="onnx")
    assert {f"member_{i}/model.onnx" for i in (0, 1)} <= set(exported.files)
    check_predictions(together, exported.folder, passengers / "test.csv", tmp_path)


def test_inspect_shows_inputs_opset_operators_and_size(folder: Path) -> None:
    found = inspect_onnx(folder)
    assert found["model"]["opset"] == {"ai.onnx": 17}
    assert set(found["inputs"]) == {"input_ids", "attention_mask", "numbers"}
    assert found["operators"]["MatMul"] > 5
    assert found["compared"]["dtype"] == "f32"
    done = invoke("model", "inspect", folder, "--layers")
    assert done.exit_code == 0
    assert "LayerNormalization" in done.output
    assert json.loads(invoke("model", "inspect", folder / "model.onnx", "--json").output) == found


def test_other_folders_have_no_graphs(run: Path) -> None:
    assert find_graphs(run / "checkpoints" / "best") == []


def test_a_recipe_is_written_on_demand(run: Path, tmp_path: Path) -> None:
    done = invoke(
        "model", "export", "--checkpoint", run, "--format", "onnx", "--serve", "--output", tmp_path / "out"
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "Dockerfile").read_text().startswith("FROM python")


def refuse(output: Path, *arguments: object) -> str:
    """The one message of an export that leaves nothing behind."""
    before = sorted(output.parent.iterdir())
    done = invoke("model", "export", "--format", "onnx", "--output", output, *arguments)
    assert done.exit_code == 2, done.output
    assert sorted(output.parent.iterdir()) == before
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


def test_a_wrong_opset_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    said = refuse(tmp_path / "out", "--checkpoint", run, "--opset", 9)
    assert "opset 9 is not among 17 to" in said


def test_a_wrong_dtype_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    assert "bf16" in refuse(tmp_path / "out", "--checkpoint", run, "--dtype", "bf16")


def test_options_of_onnx_are_refused_elsewhere(run: Path, tmp_path: Path) -> None:
    done = invoke("model", "export", "--checkpoint", run, "--opset", 17, "--output", tmp_path / "o")
    assert done.exit_code == 2
    assert "format huggingface has no --opset; add --format onnx" in " ".join(done.output.split())


def test_truncated_weights_leave_nothing_behind(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "in" / "copy"
    shutil.copytree(run / "checkpoints" / "best", copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (tmp_path / "target").mkdir()
    assert "model.safetensors" in refuse(tmp_path / "target" / "out", "--checkpoint", copy)


@pytest.mark.medium
def test_a_missing_extra_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['onnx'] = None\n"
        "from bert_playground.cli.app import main\n"
        f"sys.argv = ['bert', 'model', 'export', '--format', 'onnx', '--checkpoint', {str(run)!r}, "
        f"'--output', {str(tmp_path / 'out')!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'bert-playground[onnx]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = invoke(
        "model", "export", "--checkpoint", run, "--format", "onnx", "--output", tmp_path / "file" / "out"
    )  # fmt: skip
    assert done.exit_code == 2
    assert "is a file, expected a folder" in " ".join(done.output.split())


def test_rows_that_are_named_are_compared(run: Path, passengers: Path, tmp_path: Path) -> None:
    exported = export_model(
        run, tmp_path / "out", format="onnx", data=passengers / "train.csv", opset=20
    )
    report = json.loads((exported.folder / REPORT).read_text())
    assert "train.csv" in report["compared_on"]
    assert report["opset"] == 20
