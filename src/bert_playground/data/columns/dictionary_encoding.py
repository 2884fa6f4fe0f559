"""DictionaryColumn: dictionary encoding as in Arrow: the distinct values of a column, and for each row an index."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

FEW_ROWS = 4096  # of fewer, telling the distinct cells costs more than it saves


class DictionaryColumn(NamedTuple):
    """What is done to a cell is done once for each distinct one; tables repeat themselves.

    Attributes:
        values: [D] distinct, in the order of their first row; of a small table those of all rows.
        indices: [R] int64: row i has values[indices[i]].
    """

    values: pl.Series
    indices: np.ndarray

    def rows(self) -> pl.Series:
        """The cell of each row, [R]."""
        return self.values.gather(self.indices)


def dictionary_encode(column: pl.Series) -> DictionaryColumn:
    """Number the distinct cells of a column; null is a cell like any other."""
    if column.dtype == pl.String and len(column) < FEW_ROWS:
        return _encode_few(column)
    cells = column.unique(maintain_order=True)
    numbers = pl.Series(np.arange(len(cells)))
    codes = column.replace_strict(cells, numbers, return_dtype=pl.Int64)
    return DictionaryColumn(cells, codes.cast(pl.Int64).to_numpy())  # of no rows Polars gives text


def _encode_few(column: pl.Series) -> DictionaryColumn:
    """The same, in less time than Polars takes to wake its threads."""
    numbers: dict[str | None, int] = {}
    codes = [numbers.setdefault(cell, len(numbers)) for cell in column.to_list()]
    values = pl.Series(column.name, list(numbers), dtype=pl.String)
    return DictionaryColumn(values, np.array(codes, dtype=np.int64))


def dictionary_encode_all(columns: Sequence[pl.Series]) -> list[DictionaryColumn]:
    """`dictionary_encode` of every column of a table, all at once; of a small table the cells of all rows, which is quicker."""
    if not columns or len(columns[0]) < FEW_ROWS:
        rows = np.arange(len(columns[0]) if columns else 0)
        return [DictionaryColumn(column, rows) for column in columns]
    cells = [column.unique(maintain_order=True) for column in columns]
    codes = pl.DataFrame(list(columns)).select(
        pl.col(each.name).replace_strict(
            each, pl.Series(np.arange(len(each))), return_dtype=pl.Int64
        )
        for each in cells
    )
    pairs = zip(cells, codes.iter_columns(), strict=True)
    return [DictionaryColumn(each, numbers.to_numpy()) for each, numbers in pairs]


def map_cells(
    columns: Sequence[DictionaryColumn], *steps: Sequence[pl.Expr]
) -> list[DictionaryColumn]:
    """Compute new cells of each column, in steps: an expression of the next step reads what one of the last named.

    Args:
        columns: those with one name are the same column.
        steps: one expression for each column; the names that it gives differ from each other.
    """
    if all(column.indices is columns[0].indices for column in columns):
        frame = pl.DataFrame(list({each.values.name: each.values for each in columns}.values()))
        for step in steps:
            frame = frame.select(step)
        cells = frame.get_columns()
    else:
        frames = [column.values.to_frame().lazy() for column in columns]
        for step in steps:
            frames = [frame.select(each) for frame, each in zip(frames, step, strict=True)]
        cells = [frame.to_series() for frame in pl.collect_all(frames)]
    return [
        DictionaryColumn(each, column.indices) for each, column in zip(cells, columns, strict=True)
    ]


def pick_rows(columns: Sequence[DictionaryColumn], rows: np.ndarray) -> list[DictionaryColumn]:
    """The columns of the rows with these numbers; columns that share their indices still do."""
    picked = {id(column.indices): column.indices[rows] for column in columns}
    return [column._replace(indices=picked[id(column.indices)]) for column in columns]


def join_cells(columns: Sequence[DictionaryColumn], places: np.ndarray | None = None) -> pl.Series:
    """The whole text of each row, [R].

    Args:
        columns: the pieces of each row.
        places: [columns, R] where each piece stands in its row, from 0 on; None: in the order given.
    """
    if all(column.indices is columns[0].indices for column in columns):  # one gather for all
        cells = [column.values.alias(str(i)) for i, column in enumerate(columns)]
        frame = pl.DataFrame(cells)[columns[0].indices]
    else:
        frame = pl.DataFrame([column.rows().alias(str(i)) for i, column in enumerate(columns)])
    if places is None:
        return frame.select(text=pl.concat_str(pl.all())).to_series()
    order = pl.Series("order", places.argsort(axis=0).T)
    texts = pl.concat_list(frame.columns).list.gather(order.cast(pl.List(pl.UInt32)))
    return frame.select(text=texts.list.join("")).to_series()


def choose_cells(variants: Sequence[DictionaryColumn], chosen: np.ndarray) -> DictionaryColumn:
    """The column whose row i is that of `variants[chosen[i]]`; the rows of all variants have the same indices."""
    sizes = np.array([len(column.values) for column in variants])
    starts = np.cumsum(sizes) - sizes
    cells = pl.concat([column.values for column in variants])
    return DictionaryColumn(cells, variants[0].indices + starts[chosen])
