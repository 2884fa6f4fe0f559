"""measure_influence: which columns drove the answer to a row: what changes when the cell of one column is left out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.pipeline import TextPipeline
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]


def blank_each(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Each row as it is, and then once for each column without its cell: [R * (1 + C)] rows, those of one row together.

    Args:
        rows: R rows.
        columns: C of their columns.
    """
    count = 1 + len(columns)
    place = pl.int_range(pl.len()) % count
    repeated = rows[np.repeat(np.arange(rows.height), count)]
    blanked = (
        pl.when(place != number).then(pl.col(name)).alias(name)
        for number, name in enumerate(columns, 1)
    )
    return repeated.with_columns(*blanked)


def measure_influence(
    pipeline: TextPipeline,
    scores: Array,
    columns: Sequence[str],
    classes: Callable[[Array], list[Any]],
) -> list[list[dict[str, Any]]]:
    """How much each column supports the answer to its row, the most important first.

    Of a class: its probability less the one without the cell, so that what is positive speaks for it. Of a number: the
    number less the one without the cell, in its units. Of several labels or steps: how far they move in the mean.

    Args:
        pipeline: of the predictor.
        scores: of the rows of `blank_each`.
        columns: as there.
        classes: scores → the class of each row, as the predictor decides.
    """
    count = 1 + len(columns)
    values = _values(pipeline, scores)  # [R * (1 + C), K]
    values = values.reshape(-1, count, values.shape[1])
    task = TASKS[pipeline.task]
    if task.has_many_targets:
        effects = np.abs(values[:, :1] - values[:, 1:]).mean(axis=2)
    elif task.is_classification:
        chosen = [pipeline.classes.index(name) for name in classes(scores[::count])]
        of_chosen = values[np.arange(len(values)), :, chosen]  # [R, 1 + C]
        effects = of_chosen[:, :1] - of_chosen[:, 1:]
    else:
        effects = values[:, :1, 0] - values[:, 1:, 0]
    return [_rank(columns, row) for row in effects]


def _values(pipeline: TextPipeline, scores: Array) -> Array:
    """[R, K] probabilities, or numbers in units."""
    if TASKS[pipeline.task].is_classification:
        return pipeline.probabilities(scores).to_numpy()
    answers = pipeline.answers(scores)
    return answers.select(answers.columns[: len(pipeline.targets)]).to_numpy()


def _rank(columns: Sequence[str], effects: Array) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(effects), kind="stable")
    return [{"column": columns[place], "effect": float(effects[place])} for place in order]
