"""bert pretrain through the command line: the story to the next command, and bad input."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

TINY = ["--config", "test", "--no-compile", "--max-length", "32"]


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def output(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    tables = ["--train", passengers / "train.csv", "--test", passengers / "test.csv"]
    result = invoke("pretrain", *TINY, *tables, "--output", folder)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "hidden words of 6 rows held out" in result.stdout
    best = next(folder.glob("run_*")) / "checkpoints" / "best"
    assert f"train --model {best} --train {passengers / 'train.csv'}" in result.stdout
    return folder


def test_the_next_command_runs(output: Path, passengers: Path, tmp_path: Path) -> None:
    best = next(output.glob("run_*")) / "checkpoints" / "best"
    train = ["--train", passengers / "train.csv", "--output", tmp_path, "--json"]
    result = invoke("train", *TINY, "--model", best, *train)
    assert result.exit_code == 0, (result.output, result.exception)
    assert json.loads(result.stdout)["target"] == "Survived"


def test_a_finished_run_is_resumed_without_naming_a_table(output: Path, passengers: Path) -> None:
    (run,) = output.glob("run_*")
    result = invoke("pretrain", "--resume", run)
    assert result.exit_code == 0, (result.output, result.exception)
    assert f"--train {passengers / 'train.csv'}" in result.stdout


def test_the_target_is_said_not_to_be_read(output: Path) -> None:
    (log,) = output.glob("run_*/train.log")
    assert "target: Survived, not read" in log.read_text()


def test_settings_are_shown_with_their_sources(passengers: Path) -> None:
    arguments = ["--test", passengers / "test.csv", "--mask-probability", "0.15", "--unlabeled"]
    result = invoke("pretrain", *arguments, "--show-config", "--json")
    shown = json.loads(result.stdout)
    assert shown["pretraining.mask_probability"] == {"value": 0.15, "source": "flag"}
    assert shown["pretraining.has_target"]["value"] is False
    assert shown["pretraining.tables"]["value"] == [str(passengers / "test.csv")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mask-probability", "1.5"], ["pretraining.mask_probability = 1.5", "less than 1"]),
        (["--test", "nowhere.csv"], ["nowhere.csv"]),
        (["--target", "Survivd"], ["Survivd", "did you mean 'Survived'"]),
        (["--model", "nowhere/at/all"], ["nowhere/at/all"]),
        (["--unlabeled", "--target", "Age"], ["--unlabeled says that there is no target"]),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    arguments: list[str], words: list[str], passengers: Path, tmp_path: Path
) -> None:
    train = ["--train", passengers / "train.csv", "--output", tmp_path / "output"]
    result = invoke("pretrain", *TINY, *train, *arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    for word in words:
        assert word in result.stderr
    assert not (tmp_path / "output").exists()


def test_no_table_is_refused() -> None:
    result = invoke("pretrain")
    assert result.exit_code == 2
    assert "--train" in result.stderr
