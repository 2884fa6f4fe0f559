"""QuickCheck: which cells of a later table need a closer look, all columns at once."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import PLAIN
from bert_playground.data.drift.profile import ColumnProfile

LONGEST_MISSING = 8  # bytes of a word for a missing value, with some blanks behind it
MIN_ROWS = 16_384  # of fewer, every cell is looked at
MOST_NEW = 0.25  # of the cells of one half of a sample that the other half lacks, in columns that repeat themselves
NUM_SLOTS = 2**16


class QuickCheck:
    """Passes the cells that are written as in training.

    Numbers are cast. In columns that repeat themselves that costs a hash and a look-up instead, a fourth of a cast: the
    cells of a sample that passed are kept in a hash table.

    Args:
        profiles: of the columns.
    """

    def __init__(self, profiles: Iterable[ColumnProfile]) -> None:
        """Nothing has been seen yet."""
        self._profiles = {profile.column: profile for profile in profiles}
        self._passed: dict[str, np.ndarray] | None = None

    def find(self, cells: pl.DataFrame, sample: pl.DataFrame) -> dict[str, pl.Series]:
        """The cells that need a closer look, by column; columns without such are left out.

        Args:
            cells: of columns that have a profile, as text.
            sample: some of the rows.
        """
        if self._passed is None and cells.height >= MIN_ROWS:
            self._passed = self._learn(sample)
        tables = {name: t for name, t in (self._passed or {}).items() if name in cells.columns}
        others = [name for name in cells.columns if name not in tables]
        masks = cells.select(
            *(doubt(self._profiles[name]).alias(name) for name in others),
            *(pl.col(name).hash() for name in tables),
        )
        found = {name: cells[name].filter(masks[name]) for name in others if masks[name].any()}
        for name, table in tables.items():
            rows = np.flatnonzero(_is_new(table, masks[name].to_numpy()))
            new = cells[name].gather(rows)
            new = new.to_frame().filter(doubt(self._profiles[name])).to_series()
            if len(new):
                found[name] = new
        return found

    def _learn(self, sample: pl.DataFrame) -> dict[str, np.ndarray]:
        """A hash table for each column that repeats itself."""
        profiles = [self._profiles[name] for name in sample.columns]
        profiles = [profile for profile in profiles if passes_as_written(profile)]
        hashes = sample.select(pl.col(profile.column).hash() for profile in profiles)
        masks = sample.select(doubt(profile).alias(profile.column) for profile in profiles)
        tables = {}
        for name in hashes.columns:
            passed = hashes[name].to_numpy()[~masks[name].to_numpy()]
            half = len(passed) // 2
            new = _is_new(_build_table(passed[:half]), passed[half:])
            if half and new.mean() <= MOST_NEW:
                tables[name] = _build_table(passed)
        return tables


def doubt(profile: ColumnProfile) -> pl.Expr:
    """Whether a cell of the column needs a closer look: quick, and true of all where there is no quick way."""
    cell = pl.col(profile.column)
    if profile.form == "number" and profile.spelling == PLAIN:
        number = cell.cast(pl.Float64, strict=False)
        return cell.is_not_null() & ~number.is_finite().fill_null(False)
    if profile.form == "category" and profile.knows_values:
        return cell.is_not_null() & ~cell.is_in(pl.lit(pl.Series(profile.values)).implode())
    if profile.is_numeric or profile.knows_values:
        return cell.is_not_null()
    # No word for a missing value begins with a digit.
    is_short = (cell.str.len_bytes() <= LONGEST_MISSING) & ~((cell >= "0") & (cell < ":"))
    return (is_short | (cell < "!")).fill_null(False)


def may_be_rewritten(profile: ColumnProfile) -> bool:
    """Whether reading may write cells that need a closer look otherwise; of other columns it counts them."""
    return profile.is_numeric or profile.knows_values


def passes_as_written(profile: ColumnProfile) -> bool:
    """Whether cells that `doubt` passes have no blanks around them and are neither missing nor strange."""
    is_plain = profile.form == "number" and profile.spelling == PLAIN
    return is_plain or (profile.form == "category" and profile.knows_values)


def _build_table(hashes: np.ndarray) -> np.ndarray:
    """[NUM_SLOTS] each hash in the slot that its lowest bits name; of several in one slot the last."""
    table = np.zeros(NUM_SLOTS, np.uint64)
    table[0] = 1  # an empty slot holds the hash of another one
    table[_slots(hashes)] = hashes
    return table


def _is_new(table: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    return np.asarray(table.take(_slots(hashes)) != hashes)


def _slots(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(np.uint16)[::4]
