"""print_next_steps, find_next_steps: what to type next in a folder, by the tables and runs that lie in it."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from .completion import read_header
from .console import print_lines, program

TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".csv.gz", ".csv.zip")
PROJECT = "competition.json"  # of a folder that `bert kaggle start` made
SUMMARY, CHECKPOINTS = "summary.json", "checkpoints"
FOLDERS = (".", "data", "data/*")  # where tables are looked for
MOST = 500  # files of a folder that are looked at


class Step(NamedTuple):
    """A command and what it is for."""

    command: str
    why: str


def print_next_steps() -> None:
    """What `bert` alone says."""
    lines = ["next, in this folder:"]
    for step in find_next_steps(Path("output")):
        lines += [f"  {step.command.replace('bert', program(), 1)}", f"      {step.why}"]
    print_lines([*lines, "", f"all commands: {program()} --help"])


def find_next_steps(output: Path) -> list[Step]:
    """The commands that fit the current folder, the likeliest first.

    Args:
        output: the folder of runs.
    """
    tables = _find_tables()
    steps = [*_after_runs(output, tables), *_in_project(), *_with_tables(tables)]
    return steps or [Step("bert quickstart", "a first run, with nothing to prepare")]


def _find_tables() -> list[Path]:
    found: list[Path] = []
    for pattern in FOLDERS:
        for folder in [Path()] if pattern == "." else sorted(Path().glob(pattern)):
            found += sorted(path for path in _inside(folder) if path.name.lower().endswith(TABLES))
    return found


def _inside(folder: Path) -> list[Path]:
    try:
        return list(islice(folder.iterdir(), MOST))
    except OSError:  # a file, or a folder of somebody else
        return []


def _after_runs(output: Path, tables: list[Path]) -> Iterator[Step]:
    runs = [path for path in output.glob("run_*") if path.is_dir()] if output.is_dir() else []
    if not runs:
        return
    newest = max(runs, key=lambda path: path.stat().st_mtime)
    if (newest / SUMMARY).is_file():
        test = next((path for path in tables if "test" in path.name.lower()), Path("test.csv"))
        yield Step(
            f"bert predict --test {quote(str(test))} --checkpoint {quote(str(newest))} --output submission.csv",
            "answers of the newest run",
        )
        yield Step("bert runs open latest", "its report")
    elif (newest / CHECKPOINTS).is_dir():
        yield Step(f"bert train --resume {quote(str(newest))}", "the newest run did not end")
    yield Step("bert runs list", f"{len(runs)} run{'s' if len(runs) > 1 else ''} in {output}")


def _in_project() -> Iterator[Step]:
    if Path(PROJECT).is_file():
        yield Step("bert kaggle run", "this is the folder of a competition")
        yield Step("bert kaggle ledger", "what was sent, and how it scored")


def _with_tables(tables: list[Path]) -> Iterator[Step]:
    train = next((path for path in tables if "train" in path.name.lower()), None)
    if train is not None:
        yield Step(f"bert data describe {quote(str(train))}", "what training would read of it")
        yield Step(f"bert train --train {quote(str(train))}", "the target is inferred, and stated")
    elif tables:
        columns = read_header(tables[0])
        target = quote(columns[-1]) if columns else "COLUMN"
        yield Step(f"bert data describe {quote(str(tables[0]))}", "what training would read of it")
        yield Step(
            f"bert train --train {quote(str(tables[0]))} --target {target}",
            "if that is the column to learn",
        )
