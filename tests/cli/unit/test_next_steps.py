"""`bert` alone says what fits the folder."""

import sys
import time
from pathlib import Path

import pytest

from bert_playground.cli import app as program
from bert_playground.cli.utils.next_steps import find_next_steps

OUTPUT = Path("output")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands() -> list[str]:
    return [step.command for step in find_next_steps(OUTPUT)]


def add(path: str, text: str = "id,label\n1,0\n") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def test_an_empty_folder_begins_with_quickstart() -> None:
    assert commands() == ["bert quickstart"]


@pytest.mark.parametrize("place", ["", "data/", "data/titanic/"])
def test_a_training_table_is_described_and_trained_on(place: str) -> None:
    add(f"{place}test.csv")
    add(f"{place}train.csv")
    assert commands() == [
        f"bert data describe {place}train.csv",
        f"bert train --train {place}train.csv",
    ]


def test_another_table_is_trained_on_with_its_last_column() -> None:
    add("my houses.csv", "id,rooms,the price\n1,2,3\n")
    assert commands()[-1] == "bert train --train 'my houses.csv' --target 'the price'"


def test_a_run_that_ended_predicts_and_one_that_did_not_goes_on() -> None:
    add("test.csv")
    add("output/run_1/summary.json", "{}")
    assert commands()[:3] == [
        "bert predict --test test.csv --checkpoint output/run_1 --output submission.csv",
        "bert runs open latest",
        "bert runs list",
    ]
    (OUTPUT / "run_1" / "summary.json").unlink()
    (OUTPUT / "run_1" / "checkpoints").mkdir()
    assert commands()[:2] == ["bert train --resume output/run_1", "bert runs list"]


def test_a_competition_is_run() -> None:
    add("competition.json", "{}")
    assert "bert kaggle run" in commands()


def test_files_that_cannot_be_read_do_not_matter() -> None:
    add("data", "a file")
    add("broken.parquet", "no parquet")
    assert commands()[-1] == "bert train --train broken.parquet --target COLUMN"


def test_bert_alone_answers_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bert"])
    monkeypatch.setattr(program, "app", lambda: pytest.fail("all commands were built"))
    began = time.process_time()
    program.main()
    assert time.process_time() - began < 0.5
    assert "bert quickstart" in capsys.readouterr().out


def test_a_shell_that_asks_for_completions_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(sys, "argv", ["bert"])
    monkeypatch.setenv(program.COMPLETION, "complete_bash")
    monkeypatch.setattr(program, "app", lambda: called.append(True))
    program.main()
    assert called
