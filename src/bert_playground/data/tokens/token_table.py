"""TokenizedTable: token ids of rows without padding; gather, cut, join and repeat them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TokenizedTable(NamedTuple):
    """Token ids of R rows without padding: row i is `ids[offsets[i]:offsets[i + 1]]`; ready for batches."""

    ids: np.ndarray  # [N] int32
    offsets: np.ndarray  # [R + 1] int64
    labels: np.ndarray | None = None  # [R]
    second: np.ndarray | None = None  # [R] of a text pair: where in its row the second text begins
    numbers: np.ndarray | None = None  # [R, F] f32 beside the text, NaN where there is none
    weights: np.ndarray | None = None  # [R] f32, how much each row counts in the loss

    @property
    def num_rows(self) -> int:
        """The number of rows R."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens in each row, [R]."""
        return np.diff(self.offsets)

    def rows(self) -> list[np.ndarray]:
        """The ids of each row."""
        return np.split(self.ids, self.offsets[1:-1])


def gather_rows(rows: TokenizedTable, numbers: np.ndarray) -> TokenizedTable:
    """The ids of the rows with these numbers, in their order, without labels."""
    starts = rows.offsets[numbers]
    lengths = rows.offsets[np.asarray(numbers) + 1] - starts  # not of all rows: batches are small
    second = None if rows.second is None else rows.second[numbers]
    return TokenizedTable(rows.ids[_ranges(starts, lengths)], offsets_of(lengths), second=second)


def cut_rows(rows: TokenizedTable, lengths: np.ndarray) -> TokenizedTable:
    """The first so many ids of each row, without labels."""
    return TokenizedTable(rows.ids[_ranges(rows.offsets[:-1], lengths)], offsets_of(lengths))


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Where rows of these lengths begin, and where the last one ends: [R + 1]."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """starts[0], starts[0] + 1, …, then the same for the next row."""
    return np.repeat(starts - offsets_of(lengths)[:-1], lengths) + np.arange(lengths.sum())


def repeat_ids(ids: tuple[int, ...], times: int) -> TokenizedTable:
    """Rows that all are the same ids."""
    return TokenizedTable(
        np.tile(np.array(ids, dtype=np.int32), times), np.arange(times + 1) * len(ids)
    )


def join_segments(segments: Sequence[TokenizedTable]) -> TokenizedTable:
    """Rows made of their segments, one after the other."""
    lengths = np.stack([segment.lengths for segment in segments])  # [segments, R]
    offsets = offsets_of(lengths.sum(axis=0))
    starts = offsets[:-1] + np.cumsum(lengths, axis=0) - lengths
    ids = np.empty(offsets[-1], dtype=np.int32)
    for segment, start, length in zip(segments, starts, lengths, strict=True):
        ids[_ranges(start, length)] = segment.ids
    return TokenizedTable(ids, offsets)


def join_numbered(distinct: TokenizedTable, numbers: np.ndarray) -> TokenizedTable:
    """Rows made of numbered pieces, one after the other; `numbers` [pieces, R] says which ones."""
    joined = gather_rows(distinct, numbers.T.ravel())
    return TokenizedTable(
        joined.ids, joined.offsets[:: len(numbers)].copy()
    )  # contiguous, for files


def concat_tables(tables: Sequence[TokenizedTable]) -> TokenizedTable:
    """The rows of several tables below each other, with all that belongs to a row."""
    lengths = np.concatenate([table.lengths for table in tables])
    offsets = offsets_of(lengths)
    # Whatever else a table has, labels among it, is one entry for each row, or None.
    more = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in TokenizedTable._fields
        if name not in ("ids", "offsets") and getattr(tables[0], name) is not None
    }
    return TokenizedTable(np.concatenate([table.ids for table in tables]), offsets, **more)


def take_rows(table: TokenizedTable, numbers: np.ndarray) -> TokenizedTable:
    """The rows with these numbers, with all that belongs to a row."""
    more = {
        name: getattr(table, name)[numbers]
        for name in TokenizedTable._fields
        if name not in ("ids", "offsets") and getattr(table, name) is not None
    }
    return gather_rows(table, numbers)._replace(**more)
