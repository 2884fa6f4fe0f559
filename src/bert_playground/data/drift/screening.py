"""screen_tables: which of many small tables may differ from training; of most a few numbers tell that they do not."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from bert_playground.data.drift.finding import is_shifted, is_surprising
from bert_playground.data.drift.profile import ColumnProfile
from bert_playground.data.drift.quick_check import passes_as_written
from bert_playground.data.drift.shift import may_be_shifted, num_numbers


def screen_tables(
    profiles: Iterable[ColumnProfile], rows: pl.DataFrame, ends: Sequence[int]
) -> list[bool]:
    """Whether each table may have findings; where it is false, `TableDrift` would find nothing.

    Args:
        profiles: of columns that the rows have.
        rows: of all tables one below the other, without a cell that `doubt` is true of.
        ends: 0, then where each table ends: [T + 1]; each has a row.
    """
    bounds = np.asarray(ends)
    found = np.zeros(len(bounds) - 1, dtype=bool)
    for profile in profiles:
        found |= _lack_cells(profile, rows[profile.column], bounds)
        found |= _may_shift(profile, rows[profile.column], bounds)
    return [bool(each) for each in found]


def _lack_cells(profile: ColumnProfile, column: pl.Series, bounds: np.ndarray) -> np.ndarray:
    """[T] whether more cells are missing than in training."""
    if not column.null_count():
        return np.zeros(len(bounds) - 1, dtype=bool)
    missing = _count(column.is_null().to_numpy(), bounds)
    pairs = zip(missing.tolist(), np.diff(bounds).tolist(), strict=True)
    then = profile.num_missing, profile.num_rows
    return np.array([is_surprising(hits, size, *then) for hits, size in pairs])


def _may_shift(profile: ColumnProfile, column: pl.Series, bounds: np.ndarray) -> np.ndarray:
    """[T] whether the cells may be distributed otherwise; of categories their number alone is looked at."""
    sizes = np.diff(bounds).tolist()
    by_size = {size: may_be_shifted(profile, size) for size in set(sizes)}
    may = np.array([by_size[size] for size in sizes])
    if not profile.num_rows or not (profile.edges or profile.values):
        return np.zeros_like(may)
    if profile.edges and may.any():
        may &= _shift_numbers(profile, column, bounds)
    return may


def _shift_numbers(profile: ColumnProfile, column: pl.Series, bounds: np.ndarray) -> np.ndarray:
    """[T] whether the numbers or lengths of cells lie beyond those of training, or otherwise."""
    num_tables, then = len(bounds) - 1, num_numbers(profile)
    cells = column if passes_as_written(profile) else column.str.strip_chars()
    numbers = profile.measure(cells).to_numpy()
    is_number = np.isfinite(numbers)
    tables = np.repeat(np.arange(num_tables), np.diff(bounds))[is_number]
    totals = np.bincount(tables, minlength=num_tables)
    edges = np.array(profile.edges)
    places = np.searchsorted(edges, numbers[is_number], side="left")
    width = len(edges) + 1
    counts = np.bincount(tables * width + places, minlength=num_tables * width)
    below = counts.reshape(num_tables, width).cumsum(axis=1)[:, :-1]
    shares = below / np.maximum(totals, 1)[:, None]
    distances = np.abs(shares - np.array(profile.shares)).max(axis=1)
    found = [
        bool(total) and is_shifted(distance, total, then)
        for distance, total in zip(distances.tolist(), totals.tolist(), strict=True)
    ]
    if not profile.is_numeric:
        return np.array(found)
    outside = _count(is_number & ((numbers < edges[0]) | (numbers > edges[-1])), bounds)
    pairs = zip(outside.tolist(), totals.tolist(), strict=True)
    beyond = [is_surprising(hits, total, 1, then) for hits, total in pairs]
    return np.logical_or(found, beyond)


def _count(holds: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """[T] of how many rows of each table something holds."""
    return np.asarray(np.add.reduceat(holds.astype(np.int64), bounds[:-1]))
