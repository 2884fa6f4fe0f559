"""Many columns at once: which are plain numbers, and their values; on a wide table each call for one column costs more."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import PLAIN, read_number

MANY = 64  # columns; fewer are looked at one by one
MAX_CELLS = 1_000_000  # that are held beside the table


def chunks(names: Sequence[str], num_rows: int) -> Iterator[Sequence[str]]:
    """Names of columns, so many at a time that their cells fit."""
    at_once = max(1, MAX_CELLS // max(1, num_rows))
    for first in range(0, len(names), at_once):
        yield names[first : first + at_once]


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
        cells = pl.concat([frame[name].alias("cell") for name in names])
        numbers = cells.str.strip_chars().to_frame().select(read_number(pl.col("cell"), PLAIN))
        table = numbers.to_series().fill_null(float("nan")).to_numpy().reshape(len(names), -1)
        found.update(zip(names, table, strict=True))
    for name, spelling in spellings.items():
        if name not in found:
            value = pl.col(name).str.strip_chars()
            numbers = frame.select(read_number(value, spelling).fill_null(float("nan")))
            found[name] = numbers.to_series().to_numpy()
    return {name: found[name] for name in spellings}
