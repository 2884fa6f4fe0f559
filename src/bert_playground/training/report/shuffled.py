"""shuffle_columns: how much worse answers become when one column is shuffled among rows that were not trained on."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

Array = np.ndarray[Any, Any]
SEED = 0
CHUNK = 4096  # rows of one call
MOST_COLUMNS = 60  # that are shuffled
# Shuffled, and not blanked: a blank is something that training may never have seen in a column, so that the answer to it
# would say more of blanks than of the column.
HOW = (
    "Leave one column out: its cells are shuffled among the rows (seed 0), so that they are real values that say nothing of "
    "their row. The bar is by how much the {loss} grows, with the standard error over rows. Columns that say the same can "
    "stand in for each other, and then each of them alone seems to matter little."
)


class Effect(NamedTuple):
    """How much the loss grows when a column is shuffled.

    Attributes:
        column: its name.
        growth: the mean over rows.
        error: its standard error.
    """

    column: str
    growth: float
    error: float


def shuffle_columns(
    answer: Callable[[pl.DataFrame], Array],
    measure: Callable[[Array], Array],
    frame: pl.DataFrame,
    columns: Sequence[str],
) -> list[Effect]:
    """Shuffle each column by itself, and answer again; the most harmful one first.

    Args:
        answer: from rows to scores [N, ...].
        measure: from the scores of all rows of `frame` to each one's loss, [N].
        frame: rows that were not trained on.
        columns: to shuffle.
    """
    if frame.height < 2 or not columns:
        return []
    order = np.random.default_rng(SEED).permutation(frame.height)
    variants = [frame, *(frame.with_columns(frame[name][order]) for name in columns)]
    scores = _answer_all(answer, pl.concat(variants))
    losses = [measure(part) for part in np.split(scores, len(variants))]
    found = []
    for name, loss in zip(columns, losses[1:], strict=True):
        growth = loss - losses[0]
        error = float(growth.std(ddof=1) / np.sqrt(len(growth)))
        found.append(Effect(name, float(growth.mean()), error))
    return sorted(found, key=lambda effect: -effect.growth)


def _answer_all(answer: Callable[[pl.DataFrame], Array], rows: pl.DataFrame) -> Array:
    parts = [rows[start : start + CHUNK] for start in range(0, rows.height, CHUNK)]
    return np.concatenate([answer(part) for part in parts])


class Plan(NamedTuple):
    """How much is shuffled: so many rows, and so many columns."""

    rows: int
    columns: int


def plan_shuffles(num_rows: int, num_columns: int, num_trained: int) -> Plan:
    """As many rows and columns as cost a twentieth of the training, to which a row costs about three answers.

    At least 1,500 answers are asked for: 50 rows, of which fewer tell little, of 10 columns or more; and 1,000 rows tell all
    that matters.

    Args:
        num_rows: that there are.
        num_columns: to shuffle.
        num_trained: rows that training has seen, each as often as it was.
    """
    answers = max(1500, num_trained * 3 // 20)
    columns = min(num_columns, MOST_COLUMNS, max(10, answers // 50 - 1))
    return Plan(min(num_rows, max(50, min(1000, answers // (columns + 1)))), columns)
