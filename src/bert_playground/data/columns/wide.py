"""Many columns at once: which are plain numbers, and their values; on a wide table each call for one column costs more."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import PLAIN, read_number

T = TypeVar("T")
MANY = 64  # columns; fewer are looked at one by one
MAX_CELLS = 1_000_000  # that are held beside the table


def chunks(names: Sequence[T], num_rows: int) -> Iterator[Sequence[T]]:
    """Names or numbers of columns, so many at a time that their cells fit."""
    at_once = max(1, MAX_CELLS // max(1, num_rows))
    for first in range(0, len(names), at_once):
        yield names[first : first + at_once]


def stack_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """Columns one below the other, as "cell"; in one piece, as each piece of a column costs as much as thousands of cells."""
    return pl.concat([frame[name].alias("cell") for name in names], rechunk=True)


def count_cells(cells: pl.DataFrame, num_columns: int, **facts: pl.Expr) -> dict[str, np.ndarray]:
    """What is true of how many cells of each of several columns that stand one below the other, [C]; nulls count as 0."""
    found = cells.select(**{what: fact.cast(pl.Int64).fill_null(0) for what, fact in facts.items()})
    return {
        column.name: column.to_numpy().reshape(num_columns, -1).sum(axis=1)
        for column in found.iter_columns()
    }


def count_values(cells: pl.Series, num_columns: int) -> pl.DataFrame:
    """How often each value stands in each of several columns that stand one below the other, nulls not counted.

    Returns:
        "column", its number, "value" and "count": by column, the most frequent first, equally frequent ones in order.
    """
    column = np.arange(num_columns).repeat(len(cells) // num_columns)
    values = pl.DataFrame({"column": column, "value": cells}).drop_nulls()
    counts = values.group_by("column", "value").len("count")
    return counts.sort("column", "count", "value", descending=[False, True, False])


def count_distinct(cells: pl.Series, num_columns: int) -> np.ndarray:
    """Different values of each of several columns that stand one after the other, nulls not counted."""
    codes = cells.rank("dense").fill_null(0).to_numpy().reshape(num_columns, -1)
    ordered = np.sort(codes, axis=1)
    is_new = np.diff(ordered, axis=1, prepend=0) > 0
    counts: np.ndarray = is_new.sum(axis=1)
    return counts


def read_numbers(frame: pl.DataFrame, spellings: dict[str, str]) -> dict[str, np.ndarray]:
    """Column → its cells as numbers [R], NaN where one is none.

    Args:
        frame: all cells as text.
        spellings: of the columns to read; see `infer_number`.
    """
    found: dict[str, np.ndarray] = {}
    for names in chunks([name for name in spellings if spellings[name] == PLAIN], frame.height):
        cells = stack_columns(frame, names)
        numbers = cells.str.strip_chars().to_frame().select(read_number(pl.col("cell"), PLAIN))
        table = numbers.to_series().fill_null(float("nan")).to_numpy().reshape(len(names), -1)
        found.update(zip(names, table, strict=True))
    for name, spelling in spellings.items():
        if name not in found:
            value = pl.col(name).str.strip_chars()
            numbers = frame.select(read_number(value, spelling).fill_null(float("nan")))
            found[name] = numbers.to_series().to_numpy()
    return {name: found[name] for name in spellings}
