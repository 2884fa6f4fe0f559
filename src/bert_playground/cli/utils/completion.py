"""What the shell offers for a word that is begun: presets, runs, models, columns of the given table, settings; else files."""

import csv
import gzip
import io
import os
import shlex
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from shlex import quote

import typer

TYPED = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # of bash; of other shells
MOST_BYTES = 2**20  # of a table, among which its header is looked for
DELIMITERS = "\t;|,"
CHECKPOINT_FILES = ("model.safetensors", "adapter_model.safetensors", "ensemble.json", "blend.json")
TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".parquet")


def complete_presets(incomplete: str) -> list[str]:
    """Presets that travel with the package, and files of configurations here."""
    from bert_playground.config.read import presets

    files = [str(path) for path in sorted(Path().glob("*.y*ml"))]
    return _fitting([*presets(), *files], incomplete)


def complete_settings(incomplete: str) -> list[str]:
    """Paths of settings; where a setting takes names, with each of them."""
    from bert_playground.config.flags import choices_of, settings

    offered: list[str] = []
    for path, setting in settings().items():
        values = [str(value) for value in choices_of(setting.field.annotation)]
        values = ["true", "false"] if setting.field.annotation is bool else values
        is_chosen = incomplete.startswith(f"{path}=")
        offered += [f"{path}={value}" for value in values] if is_chosen else [f"{path}="]
    return _fitting(offered, incomplete)


def complete_models(incomplete: str) -> list[str]:
    """Architectures to begin with from random weights, folders of checkpoints here, and the runs."""
    from bert_playground.config.sections.model import ARCHITECTURES

    here = [str(path) for path in sorted(Path().iterdir()) if _is_checkpoint(path)]
    return _fitting([*ARCHITECTURES, *here, *_run_paths(Path("output"), incomplete)], incomplete)


def complete_checkpoints(incomplete: str) -> list[str]:
    """Runs of `output`, the newest first; behind the name of one its checkpoints; folders of checkpoints here."""
    here = [str(path) for path in sorted(Path().iterdir()) if _is_checkpoint(path)]
    return _fitting([*_run_paths(Path("output"), incomplete), *here], incomplete)


def complete_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names in the folder of runs, the newest first, and `latest`."""
    folder = Path(ctx.params.get("output_dir") or ctx.params.get("output") or "output")
    return _fitting(["latest", *(path.name for path in _runs_of(folder))], incomplete)


def complete_columns(incomplete: str) -> list[str]:
    """Columns of the table that was given before on the line, that to train on first."""
    from bert_playground.lookup import expand_home

    words = _typed_words()
    after_train = [word for flag, word in pairwise(words) if flag == "--train"]
    for word in [*after_train, *words]:
        path = expand_home(word)
        if path.name.lower().endswith(TABLES) and path.is_file():
            return [quote(name) for name in _fitting(read_header(path), incomplete)]
    return []


def _typed_words() -> list[str]:
    """The words of the line, as the shell hands them over: an unfinished line is not parsed to its arguments."""
    line = next((os.environ[name] for name in TYPED if name in os.environ), "")
    try:
        return shlex.split(line)
    except ValueError:  # a quotation mark that is not closed yet
        return line.split()


def read_header(path: Path) -> list[str]:
    """The names of a table's columns, from its first bytes; [] where they are not found."""
    try:
        if path.name.lower().endswith(".parquet"):
            return _read_parquet_header(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8-sig", "replace")
        line = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=line.count)
        return [
            name for name in next(csv.reader(io.StringIO(text), delimiter=delimiter), []) if name
        ]
    except (OSError, csv.Error):  # the shell has no place for a message
        return []


def _read_parquet_header(path: Path) -> list[str]:
    import polars as pl

    try:
        return list(pl.read_parquet_schema(path))
    except pl.exceptions.PolarsError:
        return []


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return list(dict.fromkeys(name for name in names if name.startswith(incomplete)))


def _runs_of(folder: Path) -> list[Path]:
    runs = [path for path in folder.glob("run_*") if path.is_dir()] if folder.is_dir() else []
    return sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True)


def _run_paths(folder: Path, incomplete: str) -> Iterator[str]:
    for run in _runs_of(folder):
        yield str(run)
        if incomplete.startswith(f"{run}/"):
            yield from (str(path) for path in sorted(run.glob("checkpoints/*")))


def _is_checkpoint(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in CHECKPOINT_FILES)
