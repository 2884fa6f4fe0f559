"""read_row_weights: the column that says how much each training row counts in the loss."""

import numpy as np
import polars as pl

from bert_playground.data.reading.table import require_columns
from bert_playground.data.targets.label_encoder import clean_labels
from bert_playground.lookup import shorten


def read_row_weights(frame: pl.DataFrame, name: str | None) -> np.ndarray | None:
    """The weights of the rows, scaled to a mean of 1: a learning rate means the same with and without them.

    Args:
        frame: the training rows, all cells as text.
        name: of the column; None: all rows count the same.

    Returns:
        [R] f32; None: all rows count the same.

    Raises:
        ValueError: the column is absent, a cell is no number of at least 0, or all of them are 0.
    """
    if name is None:
        return None
    require_columns(frame, [name], "the training table")
    cells = frame[name]
    values = clean_labels(cells).cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(wrong):
        raise ValueError(
            f"weight column {name!r} has no number of at least 0 in {len(wrong)} rows: "
            f"{shorten(repr(cells[int(row)]) for row in wrong)}; give every row a weight"
        )
    if not values.any():
        raise ValueError(f"weight column {name!r} is 0 in every row: nothing to learn from")
    return np.asarray(values / values.mean(), dtype=np.float32)
