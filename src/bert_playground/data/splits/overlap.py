"""warn_of_training_rows: a validation table that is the training table, or holds many of its rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bert_playground.data.reading.table import expand_paths
from bert_playground.logger import logger

MANY = 0.5  # of the validation rows


def warn_of_training_rows(
    train: Any,
    val: Any,
    train_rows: pl.DataFrame | None = None,
    rows: pl.DataFrame | None = None,
) -> None:
    """Say where validation rows were trained on, so that their scores are no measure of others.

    Args:
        train: the file or files of the training table.
        val: those of the validation table.
        train_rows: of the training table, or a sample of them; None: the files alone are compared.
        rows: of the validation table.
    """
    if _files(train) & _files(val):
        logger.warning(
            f"validation table {val} is the training table itself: its scores say nothing of other rows; leave --val out "
            "to split rows off, or give rows that are not trained on"
        )
        return
    if train_rows is None or rows is None:
        return
    shared = [name for name in train_rows.columns if name in rows.columns]
    again = rows.join(train_rows.select(shared).unique(), on=shared, how="semi", nulls_equal=True)
    if again.height >= MANY * rows.height:
        logger.warning(
            f"{again.height} of {rows.height} rows of validation table {val} stand in the training table too, in all "
            "columns: its scores say little of other rows; leave them out of one of the two"
        )


def _files(source: str | Path | Sequence[str | Path]) -> set[Path]:
    return {path.resolve() for path in expand_paths(source)}
