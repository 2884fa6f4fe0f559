"""CodedColumn: a column as its distinct cells, and for each row the number of its cell."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

FEW_ROWS = 4096  # of fewer, telling the distinct cells costs more than it saves


class CodedColumn(NamedTuple):
    """What is done to a cell is done once for each distinct one; tables repeat themselves."""

    cells: (
        pl.Series
    )  # [D] distinct, in the order of their first row; of a small table those of all rows
    codes: np.ndarray  # [R] int64: row i has cells[codes[i]]

    def rows(self) -> pl.Series:
        """The cell of each row, [R]."""
        return self.cells.gather(self.codes)


def code_column(column: pl.Series) -> CodedColumn:
    """Number the distinct cells of a column; null is a cell like any other."""
    cells = column.unique(maintain_order=True)
    numbers = pl.Series(np.arange(len(cells)))
    codes = column.replace_strict(cells, numbers, return_dtype=pl.Int64).to_numpy()
    return CodedColumn(cells, codes)


def code_columns(columns: Sequence[pl.Series]) -> list[CodedColumn]:
    """`code_column` of every column of a table, all at once; of a small table the cells of all rows, which is quicker."""
    if not columns or len(columns[0]) < FEW_ROWS:
        rows = np.arange(len(columns[0]) if columns else 0)
        return [CodedColumn(column, rows) for column in columns]
    cells = [column.unique(maintain_order=True) for column in columns]
    codes = pl.DataFrame(list(columns)).select(
        pl.col(each.name).replace_strict(
            each, pl.Series(np.arange(len(each))), return_dtype=pl.Int64
        )
        for each in cells
    )
    pairs = zip(cells, codes.iter_columns(), strict=True)
    return [CodedColumn(each, numbers.to_numpy()) for each, numbers in pairs]


def map_cells(columns: Sequence[CodedColumn], *steps: Sequence[pl.Expr]) -> list[CodedColumn]:
    """Compute new cells of each column, in steps: an expression of the next step reads what one of the last named.

    Args:
        columns: those with one name are the same column.
        steps: one expression for each column; the names that it gives differ from each other.
    """
    if all(column.codes is columns[0].codes for column in columns):
        frame = pl.DataFrame(list({each.cells.name: each.cells for each in columns}.values()))
        for step in steps:
            frame = frame.select(step)
        cells = frame.get_columns()
    else:
        frames = [column.cells.to_frame().lazy() for column in columns]
        for step in steps:
            frames = [frame.select(each) for frame, each in zip(frames, step, strict=True)]
        cells = [frame.to_series() for frame in pl.collect_all(frames)]
    return [CodedColumn(each, column.codes) for each, column in zip(cells, columns, strict=True)]


def pick_rows(columns: Sequence[CodedColumn], rows: np.ndarray) -> list[CodedColumn]:
    """The columns of the rows with these numbers; columns that share their codes still do."""
    picked = {id(column.codes): column.codes[rows] for column in columns}
    return [column._replace(codes=picked[id(column.codes)]) for column in columns]


def join_cells(columns: Sequence[CodedColumn], places: np.ndarray | None = None) -> pl.Series:
    """The whole text of each row, [R].

    Args:
        columns: the pieces of each row.
        places: [columns, R] where each piece stands in its row, from 0 on; None: in the order given.
    """
    if all(column.codes is columns[0].codes for column in columns):  # one gather for all
        cells = [column.cells.alias(str(i)) for i, column in enumerate(columns)]
        frame = pl.DataFrame(cells)[columns[0].codes]
    else:
        frame = pl.DataFrame([column.rows().alias(str(i)) for i, column in enumerate(columns)])
    if places is None:
        return frame.select(text=pl.concat_str(pl.all())).to_series()
    order = pl.Series("order", places.argsort(axis=0).T)
    texts = pl.concat_list(frame.columns).list.gather(order.cast(pl.List(pl.UInt32)))
    return frame.select(text=texts.list.join("")).to_series()


def choose_cells(variants: Sequence[CodedColumn], chosen: np.ndarray) -> CodedColumn:
    """The column whose row i is that of `variants[chosen[i]]`; the rows of all variants have the same codes."""
    sizes = np.array([len(column.cells) for column in variants])
    starts = np.cumsum(sizes) - sizes
    cells = pl.concat([column.cells for column in variants])
    return CodedColumn(cells, variants[0].codes + starts[chosen])
