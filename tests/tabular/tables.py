"""Tiny tables of every task, with columns of every kind."""

from functools import cache

import numpy as np
import polars as pl

from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from tests.fitting import fit_pipeline

COLOURS, PARTS = ("red", "green", "blue"), ("drama", "comedy", "war", "crime")
WORDS = ("the", "old", "river", "runs", "past", "quiet", "town", "storm", "fire", "flood")
TASKS = ("binary", "multiclass", "ordinal", "multilabel", "regression", "timeseries")
TARGETS = {"multilabel": "warm,long", "timeseries": "step_1,step_2,step_3"}


def make_table(task: str, num_rows: int = 60, seed: int = 0) -> pl.DataFrame:
    """Rows whose answer depends on a number and a colour."""
    random = np.random.default_rng(seed)
    size = random.normal(size=num_rows)
    colour = random.integers(0, 3, num_rows)
    said = [" ".join(random.choice(WORDS, 5)) + ("", "", " storm")[c] for c in colour]
    frame = pl.DataFrame(
        {
            "size": [None if i % 9 == 0 else float(x) for i, x in enumerate(size.round(3))],
            "colour": [COLOURS[c] for c in colour],
            "kinds": ["|".join(PARTS[j] for j in sorted({i % 4, i % 3})) for i in range(num_rows)],
            "day": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(num_rows)],
            "code": [f"{'AB'[i % 2]}{i // 3}/{i % 5}" for i in range(num_rows)],
            "said": said,
        }
    )
    value = size + colour
    if task == "binary":
        return frame.with_columns(target=pl.Series(np.where(value > 1, "yes", "no")))
    if task in ("multiclass", "ordinal"):
        names = np.array(["1", "2", "3"] if task == "ordinal" else COLOURS)
        return frame.with_columns(target=pl.Series(names[np.digitize(value, [0.5, 1.5])]))
    if task == "multilabel":
        return frame.with_columns(warm=pl.Series((value > 1) * 1), long=pl.Series((size > 0) * 1))
    if task == "timeseries":
        return frame.with_columns(pl.Series(f"step_{s}", value * s) for s in (1, 2, 3))
    return frame.with_columns(target=pl.Series(value))


def fit_on(frame: pl.DataFrame, task: str) -> TextPipeline:
    """The pipeline of such a table."""
    target = TARGETS.get(task, "target")
    return fit_pipeline(frame, DataSection(target=target, task=task), vocab_size=300)


@cache
def make_fitted(task: str, num_rows: int = 60) -> tuple[pl.DataFrame, TextPipeline]:
    """Such a table, and its pipeline; fitted once, as neither changes."""
    frame = make_table(task, num_rows)
    return frame, fit_on(frame, task)
