"""What messages advise is walked: the commands that runs and refusals print are executed as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.runs import find_checkpoint

SMALL = """
model: {hidden_size: 64, intermediate_size: 128, num_layers: 1, num_heads: 2, vocab_size: 200}
training: {epochs: 1, max_steps: 2, batch_size: 8}
data: {max_length: 64, numeric_features: off}
checkpoint: {save_best_only: true}
"""


def invoke(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def advised(text: str) -> list[list[str]]:
    """The words of each line that is a command, without the program's name and a comment."""
    lines = re.findall(r"^  (?:uv run )?bert (.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def workplace(passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folder name → what was printed, of one run and of an ensemble, by the same configuration."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "small.yaml").write_text(SMALL)
    train = ["train", "--config", folder / "small.yaml", "--train", passengers / "train.csv"]
    return {
        "folder": str(folder),
        "one": invoke(*train, "--output", folder / "one").stdout,
        "many": invoke(*train, "--output", folder / "many", "--ensemble", 2).stdout,
    }


@pytest.mark.parametrize("name", ["one", "many"])
def test_the_next_command_of_a_run_answers_the_test_table(workplace, name: str, tmp_path) -> None:
    (words,) = advised(workplace[name])
    words[words.index("--output") + 1] = str(tmp_path / "submission.csv")
    assert words[0] == "predict"
    invoke(*words)
    assert (tmp_path / "submission.csv").read_text().count("\n") == 13


@pytest.mark.parametrize("name", ["one", "many"])
def test_a_run_ends_with_the_path_of_what_it_made(workplace, name: str) -> None:
    made = Path(workplace[name].splitlines()[-1])
    assert find_checkpoint(made) == made


@pytest.mark.parametrize("command", ["calibrate", "quantize", "export", "inspect"])
def test_a_command_for_one_checkpoint_names_those_of_an_ensemble(
    workplace, command: str, tmp_path: Path
) -> None:
    (run,) = Path(workplace["folder"], "many").glob("run_*")
    given = [run] if command == "inspect" else ["--checkpoint", run]
    new = ["--output", tmp_path / "q"] if command in ("quantize", "export") else []
    refused = invoke("model", command, *given, *new, code=2)
    lines = advised(refused.stderr)
    assert len(lines) == (3 if command == "export" else 2)  # ONNX takes both at once
    for number in {0, len(lines) - 1}:
        new = str(tmp_path / f"new_{number}")
        invoke(*(new if word == "NEW_FOLDER" else word for word in lines[number]))


def test_a_quoted_wildcard_is_the_unquoted_one(workplace, passengers: Path, tmp_path) -> None:
    folder = Path(workplace["folder"], "one")
    test = ["--test", passengers / "test.csv", "--output", tmp_path / "p.csv", "--checkpoint"]
    (best,) = folder.glob("run_*/checkpoints/best")
    assert (
        f"answers by {best}" in invoke("predict", *test, f"{folder}/run_*/checkpoints/best").stdout
    )
    assert f"answers by {best}" in invoke("predict", *test, f"{folder}/run_*").stdout
    missing = invoke("predict", *test, f"{folder}/run_*/checkpoints/final", code=2)
    assert "checkpoints holds best)" in missing.stderr
