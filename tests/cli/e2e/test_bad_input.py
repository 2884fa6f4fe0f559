"""Bad input through the command line: exit code 2, a message that names the thing and the remedy, nothing written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

HEAD = "PassengerId,Sex,Age,Survived\n"
ROWS = "".join(f"{n},{'male' if n % 2 else 'female'},{20 + n},{n % 2}\n" for n in range(1, 31))
TRAIN = ["train", "--config", "test", "--no-compile"]


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result, *words: str) -> None:
    """Assert the exit code and that the message says all of this."""
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def checkpoint(passengers, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("output")
    result = invoke(*TRAIN, "--train", passengers / "train.csv", "--output", output)
    assert result.exit_code == 0, (result.output, result.exception)
    (run,) = output.glob("run_*")
    return run / "checkpoints/best"


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (None, [], ["train.csv", "check the path"]),
        (b"", [], ["train.csv is empty", "expected a CSV with a header"]),
        (HEAD.encode(), [], ["train.csv has a header but no rows"]),
        ((HEAD + ROWS + "31,male\n").encode(), [], ["train.csv", "32"]),
        ((HEAD + ROWS).replace("male", "mâle").encode("latin-1"), [], ["not UTF-8", "iconv"]),
        (b"a\0b,c\n1,2\n", [], ["NUL byte"]),
        (b"a,a,c\n1,2,3\n", [], ["'a'"]),
        (b"\xef\xbb\xbf", [], ["is empty", "expected a CSV with a header"]),
        ((HEAD + ROWS).replace("11,male", '11,"male').encode(), [], ["never closed", "line 12"]),
        ((HEAD + ROWS).encode(), ["--target", "Survved"], ["Survved", "Survived"]),
        ((HEAD + ROWS).replace(",0\n", ",1\n").encode(), ["--target", "Survived"], ["single class", "--target"]),
        ((HEAD + ROWS + "31,male,50,\n").encode(), ["--target", "Survived"], ["Survived", "missing"]),
        ((HEAD + ROWS).encode(), ["--metric", "acuracy"], ["acuracy", "did you mean 'accuracy'"]),
        ((HEAD + ROWS).encode(), ["--template", "sentense"], ["sentense", "did you mean 'sentence'"]),
        ((HEAD + ROWS).encode(), ["--lora", "balancd"], ["balancd", "did you mean 'balanced'"]),
        ((HEAD + ROWS).encode(), ["--config", "qick"], ["qick", "did you mean 'quick'"]),
    ],
    ids=[
        "missing file", "empty", "header only", "ragged", "not UTF-8", "NUL bytes", "duplicate columns", "only a mark", "open quote", "absent target",
        "single class", "missing label", "unknown metric", "unknown template", "unknown adapter preset", "unknown preset",
    ],
)  # fmt: skip
def test_bad_training_input_is_refused(folder, content, arguments, words):
    if content is not None:
        (folder / "train.csv").write_bytes(content)
    before = sorted(folder.rglob("*"))
    refused(invoke(*TRAIN, *arguments, "--train", "train.csv"), *words)
    assert sorted(folder.rglob("*")) == before, "something half-written was left"


def test_all_missing_column_is_left_out_and_said(folder):
    rows = ROWS.replace(",male,", ",male,,").replace(",female,", ",female,,")
    (folder / "train.csv").write_text(HEAD.replace("Sex,", "Sex,Hobby,") + rows)
    result = invoke(*TRAIN, "--train", "train.csv", "--target", "Survived")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Hobby" in result.stderr


def test_no_table_says_where_to_get_one(folder):
    refused(invoke("train"), "--train", "scripts/download_titanic.py", "bert quickstart")


@pytest.mark.parametrize("flag", ["--epochs", "--batch-size", "--max-steps", "--logging-steps"])
def test_zero_is_refused_before_anything_starts(folder, flag):
    refused(invoke("train", "--train", "train.csv", flag, "0"), flag)


def test_all_configuration_mistakes_are_listed(folder):
    (folder / "mine.yaml").write_text("training: {epoch: 3}\noptimizer: {type: adamm}\n")
    refused(
        invoke("train", "--train", "train.csv", "--config", "mine.yaml"),
        "did you mean 'training.epochs'?",
        "did you mean 'adam'?",
        "mine.yaml",
    )


def test_checkpoint_folder_that_is_none(folder, passengers):
    refused(
        invoke("predict", "--test", passengers / "test.csv", "--checkpoint", "absent"), "absent"
    )
    refused(
        invoke("predict", "--test", passengers / "test.csv", "--checkpoint", folder), "checkpoint"
    )
    refused(
        invoke("predict", "--test", passengers / "test.csv"), "no checkpoint given", "bert train"
    )


def test_run_that_cannot_be_resumed(folder):
    refused(invoke("train", "--resume", "absent"), "no run to resume at absent")


def test_pretrained_model_that_cannot_be_had(folder, passengers, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(
        invoke(*TRAIN, "--train", passengers / "train.csv", "--model", "nobody/nothing"),
        "nobody/nothing",
    )
    assert list(folder.iterdir()) == []


def test_missing_column_at_predict_time(folder, checkpoint, passengers):
    text = (passengers / "test.csv").read_text().replace("Sex", "Sexe", 1)
    (folder / "test.csv").write_text(text)
    refused(
        invoke("predict", "--test", "test.csv", "--checkpoint", checkpoint),
        "'Sex'",
        "did you mean 'Sexe'?",
    )
    assert not (folder / "submission.csv").exists()


def test_missing_id_column_at_predict_time(folder, checkpoint, passengers):
    (folder / "test.csv").write_text(
        (passengers / "test.csv").read_text().replace("PassengerId", "Id", 1)
    )
    result = invoke("predict", "--test", "test.csv", "--checkpoint", checkpoint)
    assert result.exit_code == 0
    assert "lacks the id column 'PassengerId'" in result.stderr
    assert (folder / "submission.csv").read_text().splitlines()[0] == "id,Survived"
    # Where a sample says how rows are named, numbers of rows would be a wrong submission.
    (folder / "sample.csv").write_text("PassengerId,Survived\n1,0\n2,1\n")
    asked = ("predict", "--test", "test.csv", "--checkpoint", checkpoint, "--sample", "sample.csv")
    refused(invoke(*asked), "PassengerId")


def test_extra_column_and_unseen_category_at_predict_time(folder, checkpoint, passengers):
    lines = (passengers / "test.csv").read_text().replace("Cork", "Atlantis").splitlines()
    (folder / "test.csv").write_text(
        "\n".join([f"Extra,{lines[0]}", *(f"1,{line}" for line in lines[1:])])
    )
    result = invoke("predict", "--test", "test.csv", "--checkpoint", checkpoint)
    assert result.exit_code == 0, (result.output, result.exception)
    assert len((folder / "submission.csv").read_text().splitlines()) == len(lines)


def test_sample_submission_that_does_not_fit(folder, checkpoint, passengers):
    (folder / "sample.csv").write_text("PassengerId,Survived\n1,0\n2,0\n")
    arguments = [
        "--test",
        passengers / "test.csv",
        "--checkpoint",
        checkpoint,
        "--sample",
        "sample.csv",
    ]
    refused(invoke("predict", *arguments), "sample.csv", "2 rows")
    assert not (folder / "submission.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "--test", "test.csv", "--checkpoint"),
        ("model", "inspect"),
        ("train", "--resume"),
        ("runs", "show"),
    ],
)
def test_a_home_that_nobody_has_is_no_folder(folder, passengers, arguments):
    shutil.copy(passengers / "test.csv", folder)
    refused(invoke(*arguments, "~nobody-of-this-name/run"), "~nobody-of-this-name/run")


def test_evaluation_without_answers(folder, checkpoint, passengers):
    refused(
        invoke("evaluate", "--data", passengers / "test.csv", "--checkpoint", checkpoint),
        "'Survived'",
    )


def test_full_disk_leaves_nothing_half_written(folder, checkpoint, passengers, monkeypatch):
    import errno
    import os

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "submission.csv")

    monkeypatch.setattr(Path, "replace", full)
    arguments = ["--test", passengers / "test.csv", "--checkpoint", checkpoint]
    refused(invoke("predict", *arguments), "no space left", "submission.csv", "--output")
    assert list(folder.iterdir()) == []


def test_folder_without_permission(folder, checkpoint, passengers, monkeypatch):
    plain = Path.open

    def denied(path: Path, *arguments: Any, **more: Any) -> Any:
        if "submission.csv" in path.name:
            raise PermissionError(13, "Permission denied", "submission.csv")
        return plain(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", denied)
    arguments = ["--test", passengers / "test.csv", "--checkpoint", checkpoint]
    refused(invoke("predict", *arguments), "no permission", "submission.csv")
