"""Changed checkpoints, adapters and configurations: right, or one ValueError; nothing else, and in time."""

import json
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from bert_playground.config.read import read_mapping
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.inspection import inspect_model
from tests.fuzz.attempts import attempt, seeds
from tests.fuzz.mutations import change_file, change_one

FIXTURES = Path(__file__).parents[2] / "fixtures" / "caa11f4"
KINDS = ("ordinal", "multilabel", "regression", "adapter", "ensemble")
SECONDS = 4.0  # for all kinds of checkpoints; of the long form, `--fuzz-seconds` for each
SECONDS_OF_ONE = 20.0


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Some rows of the table that the fixtures were trained on."""
    return read_table(FIXTURES / "table" / "test.csv").head(8)


def survive(folder: Path, rows: pl.DataFrame, said: str) -> None:
    """Load, answer and inspect a changed checkpoint."""
    began = time.process_time()
    for use in (lambda: load_predictor(folder).predict(rows), lambda: inspect_model(folder)):
        answer, reason = attempt(use)
        assert reason is None or reason, said
        assert not isinstance(answer, np.ndarray) or np.isfinite(answer).all(), said
    assert time.process_time() - began < SECONDS_OF_ONE, said


def copy_checkpoint(kind: str, folder: Path) -> Path:
    """One of the fixtures; an adapter with the place of its base, without which nothing behind it is reached."""
    shutil.copytree(FIXTURES / kind, folder)
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        values = json.loads(adapter.read_text(encoding="utf-8"))
        values["base_model_name_or_path"] = str(FIXTURES / values["base_model_name_or_path"])
        adapter.write_text(json.dumps(values), encoding="utf-8")
    return folder


def run_checkpoints(kind: str, rows: pl.DataFrame, tmp_path: Path, chosen: Iterable[int]) -> None:
    """Changed copies of one of the fixtures."""
    for seed in chosen:
        rng = random.Random(f"{kind} {seed}")
        folder = copy_checkpoint(kind, tmp_path / str(seed))
        path = rng.choice(sorted(each for each in folder.rglob("*") if each.is_file()))
        said = f"{kind}, seed {seed}, {path.relative_to(folder)}: {change_file(path, rng)}"
        try:
            survive(folder, rows, said)
        except AssertionError:
            raise
        except BaseException as error:
            raise AssertionError(f"{said}: {type(error).__name__}: {error}") from error
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_changed_answers_when_it_is_not(
    kind: str, rows: pl.DataFrame, tmp_path: Path
) -> None:
    assert len(load_predictor(copy_checkpoint(kind, tmp_path / kind)).predict(rows)) == rows.height


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.medium
def test_changed_checkpoints_answer_or_are_refused(
    kind: str, rows: pl.DataFrame, tmp_path: Path
) -> None:
    run_checkpoints(kind, rows, tmp_path, seeds(SECONDS / len(KINDS)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_changed_checkpoints_answer_or_are_refused(
    kind: str, rows: pl.DataFrame, tmp_path: Path, long_seeds: Iterator[int]
) -> None:
    run_checkpoints(kind, rows, tmp_path, long_seeds)


def run_configurations(path: Path, chosen: Iterable[int]) -> None:
    """Changed YAML, with marks of its syntax thrown in."""
    document = {
        "training": {"epochs": 3, "lr": 1e-3},
        "data": {"kinds": {"a": "text"}},
        "x": [1, "b", [2]],
    }
    for seed in chosen:
        rng = random.Random(seed)
        changed, said = change_one(document, rng)
        text = yaml.safe_dump(changed)
        for mark in rng.choices(("&a ", "*a", "!!int ", "[", "{", ": ", "\n", "? "), k=3):
            place = rng.randrange(len(text))
            text = text[:place] + mark + text[place:]
        path.write_text(text, encoding="utf-8")
        _, reason = attempt(partial(read_mapping, path))
        assert reason is None or str(path) in reason, (seed, said)


def test_changed_configurations_are_read_or_refused(tmp_path: Path) -> None:
    run_configurations(tmp_path / "config.yaml", range(150))


@pytest.mark.slow
def test_many_changed_configurations_are_read_or_refused(
    tmp_path: Path, long_seeds: Iterator[int]
) -> None:
    run_configurations(tmp_path / "config.yaml", long_seeds)
