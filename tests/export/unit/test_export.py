"""An exported folder: what is in it, what is refused, and that it goes on working here."""

import json
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import yaml

from bert_playground.config.load import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.export import FORMATS, Exported, export_model
from bert_playground.inference import Predictor
from bert_playground.inspection import inspect_model
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.tokens import Tokens
from bert_playground.training.run import run_training
from tests.export.small import TEXTS, make_model, save_checkpoint


def answers(folder: Path) -> np.ndarray:
    """Of the model in a folder, to a few rows of ids."""
    model = load_model(folder)
    ids = mx.array(np.random.default_rng(1).integers(0, 100, (2, 9)))
    hidden = model.encoder(ids)
    return np.array(model.head.predict(model.head(hidden, Tokens(ids))))


@pytest.fixture(scope="module")
def run(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run on the made-up table."""
    flags = {
        "data.train": passengers / "train.csv",
        "data.numeric_features": "off",
        "training.output_dir": tmp_path_factory.mktemp("output"),
        "training.use_compilation": False,
        "training.precision": "f32",
        "checkpoint.save_steps": 2,
    }
    config, _ = load_config("test", {}, flags)
    return run_training(config).run_dir.path


def test_the_folder_has_what_transformers_and_we_need(run: Path, tmp_path: Path) -> None:
    exported = export_model(run, tmp_path / "out")
    assert exported.files == (
        "README.md",
        "config.json",
        "model.safetensors",
        "pipeline.json",
        "tokenizer.json",
        "tokenizer_config.json",
    )
    assert exported.reader.endswith("ForSequenceClassification")
    assert exported.notes == ()
    assert exported.largest_difference < 1e-6
    assert exported.num_bytes == sum(
        (tmp_path / "out" / name).stat().st_size for name in exported.files
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "0", "1": "1"}
    assert config["dtype"] == "float32"


def test_predictions_from_the_folder_are_those_of_the_run(
    run: Path, passengers: Path, tmp_path: Path
) -> None:
    export_model(run, tmp_path / "out")
    frame = read_table(passengers / "test.csv")
    ours, theirs = (
        Predictor.load(path, precision="f32").predict(frame) for path in (run, tmp_path / "out")
    )
    assert np.allclose(ours, theirs, atol=1e-7)


def test_the_card_has_the_measured_figures_and_no_paths(run: Path, tmp_path: Path) -> None:
    export_model(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    summary = json.loads((run / "summary.json").read_text())
    for name, value in summary["metrics"].items():
        assert f"| {name} | {value:.4f} |" in card
    assert f"on {summary['val_rows']} rows that it was not trained on" in card
    assert "`Survived` (binary)" in card
    assert "`Sex`, `Age`" in card
    assert str(run.parent) not in card
    front = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert front is not None
    header = yaml.safe_load(front[1])
    assert header["pipeline_tag"] == "text-classification"
    assert header["tags"][:3] == ["bert-playground", "mlx", "tabular"]
    assert "base_model" not in header


def test_each_checkpoint_has_its_own_figures(run: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluations = {line["step"]: line for line in lines if line["kind"] == "evaluation"}
    steps = sorted((run / "checkpoints").glob("step_*"))
    assert steps
    for checkpoint in steps:
        export_model(checkpoint, tmp_path / checkpoint.name)
        card = (tmp_path / checkpoint.name / "README.md").read_text()
        measured = evaluations.get(int(checkpoint.name.removeprefix("step_")))
        if measured is None:
            assert "No figures came with this checkpoint" in card
        else:
            assert f"| val_accuracy | {measured['val_accuracy']:.4f} |" in card


def test_a_checkpoint_without_run_gets_no_figures(run: Path, tmp_path: Path) -> None:
    alone = save_checkpoint(make_model("bert", "binary"), tmp_path / "alone")
    exported = export_model(alone, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "No figures came with this checkpoint" in card
    assert "How it was trained" not in card
    assert "tokenizer.json" in exported.files


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_weights_are_stored_in_the_type_that_was_asked(dtype: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(make_model("modernbert", "multiclass"), tmp_path / "model")
    exported = export_model(checkpoint, tmp_path / "out", dtype=dtype)
    stored = mx.load(str(tmp_path / "out" / "model.safetensors"))
    expected = {"f16": mx.float16, "bf16": mx.bfloat16}[dtype]
    assert {weight.dtype for weight in stored.values()} == {expected}
    assert 0 < exported.largest_difference < 0.1
    name = {"f16": "float16", "bf16": "bfloat16"}[dtype]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == name


def test_weights_that_f16_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = make_model("bert", "regression")
    model.head.classifier.bias = mx.array([1e5])
    checkpoint = save_checkpoint(model, tmp_path / "model")
    with pytest.raises(ValueError, match=r"f16 ends at 65504.*classifier.bias; use bf16"):
        export_model(checkpoint, tmp_path / "out", dtype="f16")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("head", ["binary", "multiclass"])
def test_a_fitted_temperature_is_folded_into_the_classifier(head: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(
        make_model("bert", head, temperature_scaling=2.5), tmp_path / "model"
    )
    exported = export_model(checkpoint, tmp_path / "out")
    assert exported.largest_difference < 1e-6
    section = json.loads((tmp_path / "out" / "config.json").read_text())["head"]
    assert section["temperature_scaling"] == 1.0
    cold, folded = (load_model(path) for path in (checkpoint, tmp_path / "out"))
    ratio = np.array(cold.head.classifier.weight) / np.array(folded.head.classifier.weight)
    assert np.allclose(ratio, 2.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("encoder", "head", "options", "reason"),
    [
        ("bert", "binary", {"pooling": "mean"}, "mean pooling (it has cls)"),
        ("bert", "multiclass", {"pooling": "attention"}, "attention pooling"),
        ("modernbert", "binary", {"pooling": "max"}, "max pooling"),
        ("modernbert", "binary", {"pooling": "cls", "transform": "none"}, "transform 'none'"),
        ("bert", "ordinal", {}, "the answers of a head of type 'ordinal'"),
        ("bert", "regression", {"uncertainty_estimation": True}, "a standard deviation beside"),
        ("bert", "timeseries", {"use_temporal_features": True}, "the parts temporal"),
    ],
)  # fmt: skip
def test_what_transformers_cannot_do_is_said_and_exported_as_an_encoder(
    encoder: str, head: str, options: dict[str, object], reason: str, tmp_path: Path
) -> None:
    checkpoint = save_checkpoint(make_model(encoder, head, **options), tmp_path / "model")
    exported = export_model(checkpoint, tmp_path / "out")
    assert exported.reader in ("BertModel", "ModernBertModel")
    assert len(exported.notes) == 1
    assert "transformers reads the encoder alone" in exported.notes[0]
    assert reason in exported.notes[0]
    card = (tmp_path / "out" / "README.md").read_text()
    assert reason in card
    assert "pipeline_tag: feature-extraction" in card
    assert np.allclose(answers(checkpoint), answers(tmp_path / "out"), atol=1e-6)


def test_neobert_needs_the_code_of_its_publisher(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(make_model("neobert", "binary"), tmp_path / "model")
    exported = export_model(checkpoint, tmp_path / "out")
    assert exported.reader == "NeoBERTForSequenceClassification"
    assert exported.largest_difference < 1e-6
    assert ["trust_remote_code=True" in note for note in exported.notes] == [True]
    assert "trust_remote_code=True" in (tmp_path / "out" / "README.md").read_text()


def test_quantized_weights_are_written_in_full(tmp_path: Path) -> None:
    model = quantize_model(make_model("bert", "binary"), bits=8, group_size=32)
    checkpoint = save_checkpoint(model, tmp_path / "model")
    exported = export_model(checkpoint, tmp_path / "out")
    stored = mx.load(str(tmp_path / "out" / "model.safetensors"))
    assert {weight.dtype for weight in stored.values()} == {mx.float32}
    assert "quantization" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert exported.largest_difference < 1e-4


def test_an_encoder_that_transformers_lacks_is_refused(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(
        make_model("modernbert", "binary", norm_type="rms"), tmp_path / "model"
    )
    with pytest.raises(ValueError, match="norm_type 'rms', which ModernBertModel of transformers"):
        export_model(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists already and is not empty; give a new folder"):
        export_model(checkpoint, tmp_path / "full")
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert export_model(checkpoint, tmp_path / "empty").folder == tmp_path / "empty"


def test_an_ensemble_is_exported_one_by_one(tmp_path: Path) -> None:
    Ensemble([make_model("bert", "binary"), make_model("bert", "binary")]).save(tmp_path / "both")
    with pytest.raises(ValueError, match=r"ensemble of several.*member_0, .*member_1"):
        export_model(tmp_path / "both", tmp_path / "out")
    with pytest.raises(ValueError, match=r"ensemble of several.*member_0, .*member_1"):
        inspect_model(tmp_path / "both")
    assert inspect_model(tmp_path / "both" / "member_1").head["type"] == "binary"


def test_unknown_names_are_answered_with_the_nearest(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    with pytest.raises(ValueError, match="unknown format 'hugingface'; did you mean 'huggingface'"):
        export_model(checkpoint, tmp_path / "out", format="hugingface")
    with pytest.raises(ValueError, match=r"unknown dtype 'float16'.*known: bf16, f16, f32"):
        export_model(checkpoint, tmp_path / "out", dtype="float16")


def test_a_checkpoint_without_tokenizer_is_exported_with_a_note(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenizer_config.json").unlink()
    exported = export_model(checkpoint, tmp_path / "out")
    assert exported.notes == ("no tokenizer lay with the checkpoint, so none was written",)


def test_a_form_of_ones_own_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(checkpoint: Path, folder: Path, dtype: str) -> Exported:
        (folder / "words.txt").write_text(TEXTS[0])
        return Exported(folder, "reader", dtype, ("words.txt",), 1, (), 0.0)

    monkeypatch.setitem(FORMATS, "words", write)
    checkpoint = save_checkpoint(make_model("bert", "binary"), tmp_path / "model")
    exported = export_model(checkpoint, tmp_path / "out", format="words")
    assert (exported.folder / "words.txt").read_text() == TEXTS[0]
