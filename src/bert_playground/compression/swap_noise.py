"""add_swap_noise: rows that might have been in a table, made of the cells of its rows, for a teacher to answer."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from bert_playground.data.augmentation.counter_rng import row_state
from bert_playground.data.augmentation.donors import fit_donors, swap_noise

SWAP_SHARE = 0.3
MOST_COPIES, ENOUGH_ROWS = 10, 20_000


def count_copies(num_rows: int) -> int:
    """How many times a table is copied, so that a small one gives enough rows and a large one does not take for ever."""
    return min(MOST_COPIES, max(1, ENOUGH_ROWS // max(1, num_rows)))


def add_swap_noise(
    frame: pl.DataFrame, columns: Sequence[str], copies: int, seed: int
) -> pl.DataFrame:
    """Copies of a table in which each cell is, by `SWAP_SHARE`, that of another row of its column.

    A network learns far more of what a stack would answer from many such rows than from the training rows alone (Bucila,
    Caruana and Niculescu-Mizil 2006, "Model compression"; Fakoor et al. 2020, arXiv 2006.14284).

    Args:
        frame: [R] the training rows.
        columns: that are read; the others stay as they are.
        copies: of each row.
        seed: of what is swapped.

    Returns:
        [copies * R] rows; none where fewer than two columns vary, as copies would be the rows over again.
    """
    varied = [name for name in columns if frame[name].n_unique() > 1]
    if len(varied) < 2 or not copies:
        return frame.head(0)
    cells, rows = frame.select(varied), np.arange(frame.height)
    label = np.zeros(frame.height, np.int64)  # one for all, so that any row gives cells
    donors = fit_donors(cells, label, "binary", ())
    states = (row_state(seed, copy, rows) for copy in range(copies))
    changed = (swap_noise(cells, label, donors, state, SWAP_SHARE) for state in states)
    return pl.concat([frame.with_columns(each.get_columns()) for each in changed])
