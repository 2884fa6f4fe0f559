"""Adapters through the command line: train on a checkpoint, predict, merge, and what is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

TINY = ["--config", "test", "--no-compile", "--seed", 3]


def invoke(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def base(passengers, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("base")
    invoke("train", *TINY, "--train", passengers / "train.csv", "--output", output)
    (run,) = output.glob("run_*")
    return run / "checkpoints" / "final"


@pytest.fixture(scope="module")
def run(passengers, base, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("adapted")
    train = ["train", *TINY, "--train", passengers / "train.csv", "--output", output]
    invoke(*train, "--model", base, "--lora", "balanced")
    (run,) = output.glob("run_*")
    return run


@pytest.mark.medium
def test_a_merged_model_predicts_what_the_adapter_does(passengers, base, run, tmp_path):
    assert not (run / "checkpoints" / "final" / "model.safetensors").exists()
    result = invoke("model", "merge", "--checkpoint", run, "--output", tmp_path / "merged")
    assert str(base.resolve()) in result.stdout
    assert "changed by at most" in result.stdout
    files = []
    for checkpoint in (run, tmp_path / "merged"):
        files.append(tmp_path / f"{checkpoint.name}.csv")
        test = ["--test", passengers / "test.csv", "--output", files[-1]]
        invoke("predict", *test, "--checkpoint", checkpoint)
    assert files[0].read_text() == files[1].read_text()
    invoke("evaluate", "--data", passengers / "train.csv", "--checkpoint", run)
    invoke("model", "inspect", run)


@pytest.mark.medium
def test_what_cannot_be_is_refused_in_words(passengers, base, run, tmp_path):
    train = ["train", *TINY, "--train", passengers / "train.csv", "--output", tmp_path]
    result = invoke(*train, "--lora", "balancd", code=2)
    assert "did you mean 'balanced'" in result.output
    result = invoke(*train, "--model", run / "checkpoints" / "final", code=2)
    assert "bert model merge --checkpoint" in result.output.replace("\n", "")
    result = invoke("model", "merge", "--checkpoint", base, "--output", tmp_path / "x", code=2)
    assert "holds no adapter" in result.output
    merge = ["model", "merge", "--checkpoint", run, "--output", tmp_path / "x"]
    result = invoke(*merge, "--base", tmp_path / "nowhere", code=2)
    assert "cannot be read" in result.output
    assert not (tmp_path / "x").exists()
