"""bert model export and inspect through the command line, and predict without the architecture's name."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

SMALL = ["--config", "test", "--no-compile", "--precision", "f32"]
FOR_TRANSFORMERS = ["--set", "data.numeric_features=off"]


def invoke(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def run(request, passengers, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("output")
    table = passengers / "train.csv"
    flags = [*SMALL, *FOR_TRANSFORMERS, "--model", request.param]
    invoke("train", *flags, "--train", table, "--output", output)
    (found,) = output.glob("run_*")
    return found


def predict(checkpoint: Path, passengers: Path, output: Path) -> str:
    arguments = ("--test", passengers / "test.csv", "--checkpoint", checkpoint, "--proba")
    invoke("predict", *arguments, "--output", output)
    return output.read_text()


def test_export_says_what_it_wrote(run, tmp_path):
    result = invoke("model", "export", "--checkpoint", run, "--output", tmp_path / "out")
    assert "ForSequenceClassification in f32" in result.stdout
    assert "files: README.md, config.json, model.safetensors, pipeline.json" in result.stdout
    assert "differ by at most" in result.stdout


def test_export_in_json(run, tmp_path):
    arguments = ("--format", "huggingface", "--dtype", "bf16", "--json")
    result = invoke(
        "model", "export", "--checkpoint", run, "--output", tmp_path / "out", *arguments
    )
    said = json.loads(result.stdout)
    assert (said["format"], said["dtype"]) == ("huggingface", "bf16")
    assert said["checkpoint"].endswith("checkpoints/best")
    assert said["num_bytes"] > 0


def test_predict_takes_the_exported_folder(run, passengers, tmp_path):
    invoke("model", "export", "--checkpoint", run, "--output", tmp_path / "out")
    ours = predict(run, passengers, tmp_path / "a.csv")
    assert predict(tmp_path / "out", passengers, tmp_path / "b.csv") == ours


def test_a_model_that_adds_numbers_to_tokens_is_not_read_without_them(passengers, tmp_path):
    train = ["train", *SMALL, "--train", passengers / "train.csv", "--output", tmp_path / "o"]
    invoke(*train)
    (best,) = tmp_path.glob("o/run_*/checkpoints/best")
    refused = invoke("model", "export", "--checkpoint", best, "--output", tmp_path / "x", code=2)
    assert "--set data.numeric_features=off" in refused.stderr
    (best / "config.json").unlink()
    refused = invoke("predict", "--test", passengers / "test.csv", "--checkpoint", best, code=2)
    assert "numeric_tokens): it was lost or changed" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "onxx"], "unknown format 'onxx'"),
        (["--checkpoint", "nothing"], "no checkpoint at nothing"),
    ],
)
def test_bad_exports_are_refused(run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    given = arguments if "--checkpoint" in arguments else [*arguments, "--checkpoint", run]
    result = invoke("model", "export", "--output", "out", *given, code=2)
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_inspect_shows_tables(run):
    result = invoke("model", "inspect", run, "--layers")
    for words in ("parameters", "flops_per_token", "special_tokens", "val_accuracy", "layers.0"):
        assert words in result.stdout


def test_inspect_in_json_has_every_section(run):
    said = json.loads(invoke("model", "inspect", run, "--length", "16", "--json").stdout)
    assert said["compute"]["row_length"] == 16
    assert said["training"]["target"] == "Survived"
    assert said["head"]["labels"] == ["0", "1"]
    assert len(said["layers"]) == said["model"]["layers"]


def test_inspect_of_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        "no checkpoint folder at ./nothing"
        in invoke("model", "inspect", "./nothing", code=2).stderr
    )


def test_predict_recognises_the_architecture_by_its_weights(run, passengers, tmp_path):
    """The seeds: "automatically detects classic BERT or ModernBERT from the weight names"."""
    checkpoint = tmp_path / "model"
    invoke("model", "export", "--checkpoint", run, "--output", checkpoint)
    config = json.loads((checkpoint / "config.json").read_text())
    del config["model_type"], config["architectures"]
    (checkpoint / "config.json").write_text(json.dumps(config))
    ours = predict(run, passengers, tmp_path / "a.csv")
    assert predict(checkpoint, passengers, tmp_path / "b.csv") == ours


def test_a_lost_config_does_not_give_silent_nonsense(run, passengers, tmp_path):
    checkpoint = tmp_path / "model"
    invoke("model", "export", "--checkpoint", run, "--output", checkpoint)
    (checkpoint / "config.json").unlink()
    result = invoke(
        "predict", "--test", passengers / "test.csv", "--checkpoint", checkpoint, code=2
    )
    assert "config.json was lost or changed" in result.stderr
