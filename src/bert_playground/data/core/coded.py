"""CodedColumn: a column as its distinct cells, and for each row the number of its cell."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl


class CodedColumn(NamedTuple):
    """What is done to a cell is done once for each distinct one; tables repeat themselves."""

    cells: pl.Series  # [D] distinct, in the order of their first row
    codes: np.ndarray  # [R] int64: row i has cells[codes[i]]

    def rows(self) -> pl.Series:
        """The cell of each row, [R]."""
        return self.cells[self.codes]


def code_column(column: pl.Series) -> CodedColumn:
    """Number the distinct cells of a column; null is a cell like any other."""
    cells = column.unique(maintain_order=True)
    numbers = pl.Series(np.arange(len(cells)))
    codes = column.replace_strict(cells, numbers, return_dtype=pl.Int64).to_numpy()
    return CodedColumn(cells, codes)


def map_cells(columns: Sequence[CodedColumn], expressions: Sequence[pl.Expr]) -> list[CodedColumn]:
    """Compute new cells of each column: its expression reads the column under its own name, and names the new one."""
    frames = pl.collect_all(
        [
            column.cells.to_frame().lazy().select(expression)
            for column, expression in zip(columns, expressions, strict=True)
        ]
    )
    return [
        CodedColumn(frame.to_series(), column.codes)
        for frame, column in zip(frames, columns, strict=True)
    ]


def join_cells(columns: Sequence[CodedColumn]) -> pl.Series:
    """The whole text of each row, [R]."""
    frame = pl.DataFrame([column.rows().alias(str(i)) for i, column in enumerate(columns)])
    return frame.select(text=pl.concat_str(pl.all())).to_series()
