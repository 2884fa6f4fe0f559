"""A folds file: which row is in which fold, so that every model is judged on the same rows."""

from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.data.reading.table import read_table, require_columns
from bert_playground.lookup import shorten
from bert_playground.outputs import write_output

ROW = "row_number"  # from 0, where a table has no id
# A fold is judged by all other folds; one that follows in time by the earlier ones alone.
FOLD, TIME_FOLD = "fold", "time_fold"


def write_folds(
    path: Path, folds: np.ndarray, ids: pl.Series | None, *, in_time: bool
) -> pl.DataFrame:
    """Write a row's id, or its number from 0, and its fold; an empty fold is trained on always.

    Args:
        path: the CSV to write.
        folds: [R], -1 where a row is in none.
        ids: [R] in text, or None.
        in_time: whether a fold may only be judged by models of earlier ones.

    Raises:
        ValueError: ids repeat.
    """
    rows = pl.Series(ROW, range(len(folds))) if ids is None else ids
    if rows.n_unique() != len(rows):
        again = rows.filter(rows.is_duplicated()).unique(maintain_order=True)
        raise ValueError(
            f"{len(again)} ids in column {rows.name!r} stand on several rows: {shorten(map(str, again))}; "
            "make them unique, or name another column with --id-column"
        )
    numbers = pl.Series(TIME_FOLD if in_time else FOLD, folds)
    frame = pl.DataFrame([rows, numbers.set(numbers < 0, None)])
    write_output(Path(path), frame.write_csv().encode())
    return frame


def read_folds(path: Path, frame: pl.DataFrame) -> tuple[np.ndarray, bool]:
    """The folds of a table's rows, and whether they follow each other in time.

    Args:
        path: what `write_folds` wrote, or a CSV of others in that form: id or row_number, then fold or time_fold.
        frame: the table, in any order where the file has ids.

    Returns:
        [R] with -1 for rows that are always trained on.

    Raises:
        ValueError: the file is of another form or another table; every fault is listed.
    """
    table = read_table(path)
    name = next((name for name in (FOLD, TIME_FOLD) if name in table.columns), None)
    if table.width != 2 or name is None:
        raise ValueError(
            f"{path} has the columns {shorten(table.columns)}, expected two: the id column (or {ROW}) and {FOLD}; "
            "write one with `bert data folds`"
        )
    numbers = table[name].cast(pl.Int64, strict=False)
    is_wrong = (numbers.is_null() & table[name].is_not_null()) | (numbers < 0).fill_null(False)
    if is_wrong.any():
        listed = shorten(map(str, table[name].filter(is_wrong).unique().sort()))
        raise ValueError(f"{path} has folds that are no numbers from 0 on: {listed}")
    (key,) = (column for column in table.columns if column != name)
    folds = _match(path, table[key], numbers.fill_null(-1), frame)
    return folds, name == TIME_FOLD


def _match(path: Path, keys: pl.Series, numbers: pl.Series, frame: pl.DataFrame) -> np.ndarray:
    if keys.name == ROW and ROW not in frame.columns:
        ours = pl.Series(range(frame.height)).cast(pl.String)
    else:
        require_columns(frame, [keys.name], "the training table")
        ours = frame[keys.name]
    faults = []
    for title, rows in ((str(path), keys), ("the training table", ours)):
        again = rows.filter(rows.is_duplicated()).unique(maintain_order=True)
        if len(again):
            faults.append(f"{title} has {keys.name} {shorten(map(str, again), 3)} several times")
    for title, some, others in (
        ("the file lacks", ours, keys),
        ("the table lacks", keys, ours),
    ):
        missing = some.filter(~some.is_in(others.implode()))
        if len(missing):
            faults.append(f"{title} {len(missing)} rows, such as {keys.name} {missing[0]}")
    if faults:
        raise ValueError(
            f"{path} does not fit the training table: {'; '.join(faults)}; write it anew with `bert data folds`"
        )
    return ours.replace_strict(keys, numbers, return_dtype=pl.Int64).to_numpy()


def rows_of_fold(folds: np.ndarray, fold: int, *, in_time: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the training and validation side of one fold.

    Raises:
        ValueError: no row is in this fold, or none is left to train on.
    """
    known = sorted({int(number) for number in folds if number >= 0})
    if fold not in known:
        raise ValueError(
            f"there is no fold {fold}, only {shorten(map(str, known))}; change data.fold"
        )
    is_train = folds < fold if in_time else folds != fold
    if not is_train.any():
        raise ValueError(f"all rows are in fold {fold}, so that none are left to train on")
    return np.flatnonzero(is_train), np.flatnonzero(folds == fold)
