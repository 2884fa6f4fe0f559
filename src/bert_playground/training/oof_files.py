"""read_oof_files: out-of-fold files of any origin, joined by id: target, folds, and the columns of predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.data.reading.table import read_table, require_columns
from bert_playground.data.schema.roles import infer_id_name
from bert_playground.data.splits.folds import FOLD, ROW, TIME_FOLD
from bert_playground.data.targets.fit import split_target
from bert_playground.logger import logger
from bert_playground.lookup import nearest, shorten

REPEAT = "repeat"
BLENDED = "blend"  # in an oof.parquet
ROWS = ("row", ROW)  # a row's number in the training table
RESERVED = (*ROWS, FOLD, TIME_FOLD, REPEAT)
KEY = "\0key"  # the place of ids that no column of the files can have


@dataclass(frozen=True)
class OofFile:
    """One file: a row for each id.

    Attributes:
        label: what tells it from the other files, such as its stem.
        frame: text; the ids are the first column.
        columns: those that hold predictions.
    """

    path: Path
    label: str
    frame: pl.DataFrame
    columns: tuple[str, ...]

    def values(self, name: str) -> np.ndarray:
        """A column of predictions, [R] in f64.

        Raises:
            ValueError: cells that are empty or no finite numbers; their number, and examples with their ids.
        """
        numbers = self.frame[name].cast(pl.Float64, strict=False).to_numpy().astype(np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            ids, cells = self.frame[self.frame.columns[0]], self.frame[name]
            listed = ", ".join(f"{cells[int(row)]!r} at {ids[int(row)]}" for row in wrong[:3])
            raise ValueError(
                f"column {name!r} of {self.path} is no finite number in {len(wrong)} rows ({listed}); predictions are "
                "numbers in all rows: fill them in, or leave out columns that are no predictions"
            )
        return numbers


@dataclass(frozen=True)
class OofTable:
    """Files of the same rows in the same order.

    Attributes:
        ids: [R], by their column's name.
        targets: one column for each; no columns in files that have none.
        folds: [R], or None: no file has them.
        statements: what was decided about them.
    """

    files: tuple[OofFile, ...]
    ids: pl.Series
    targets: pl.DataFrame
    folds: np.ndarray | None
    statements: tuple[str, ...]


def read_oof_files(
    paths: Sequence[Path],
    target: str,
    id_column: str | None = None,
    *,
    needs_target: bool = True,
) -> OofTable:
    """Read and join.

    Args:
        paths: tables of any format; columns `row` (or an id), maybe `fold` and `repeat`, the target, and predictions.
        target: the column, or several between commas.
        id_column: None: a column that all files share: an id, else the row's number.
        needs_target: False: predictions of a test table.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: no shared id, ids that repeat or are missing, targets that differ, a wrong fold: all are listed.
    """
    frames = [read_table(path) for path in paths]
    names = _find_targets(paths, frames, target) if needs_target else tuple(target.split(","))
    key = _find_key(paths, frames, names, id_column)
    labels = _tell_apart(paths)
    files = []
    for path, frame, label in zip(paths, frames, labels, strict=True):
        others = {*RESERVED, *names, key}
        columns = [name for name in frame.columns if name not in others]
        once = _first_repeat(frame).select(columns)
        others_id = infer_id_name(once) if key in ROWS and columns else None
        columns = [name for name in columns if name != others_id]
        columns = _without_own_blend(path, columns, frame.columns)
        if not columns:
            raise ValueError(
                f"{path} has no column of predictions beside {shorten(frame.columns)}; expected one for each model, or "
                "one for each class"
            )
        keyed = _one_row_each(path, _with_key(frame, key), columns)
        files.append(OofFile(path, label, keyed, tuple(columns)))
    files = _align(files, key)
    targets = _join_targets(files, names) if needs_target else pl.DataFrame()
    folds, statements = _join_folds(files)
    ids = files[0].frame[KEY].alias(key or ROWS[0])
    return OofTable(tuple(files), ids, targets, folds, statements)


def _without_own_blend(path: Path, columns: Sequence[str], found: Sequence[str]) -> list[str]:
    """The columns of an oof.parquet of ours without those of its blend, in which the others count already."""
    blended = [name for name in columns if name.split(":")[0] == BLENDED]
    if not blended or REPEAT not in found or len(blended) == len(columns):
        return list(columns)
    logger.info(f"{path}: {shorten(blended)} is left out, as it is a blend of the other columns")
    return [name for name in columns if name not in blended]


def _find_targets(
    paths: Sequence[Path], frames: Sequence[pl.DataFrame], target: str
) -> tuple[str, ...]:
    """Target columns of the first file that has them."""
    for frame in frames:
        names = split_target(target, frame.columns)
        if set(names) <= set(frame.columns):
            return names
    known = [name for frame in frames for name in frame.columns]
    raise ValueError(
        f"no file has the target {target!r}{nearest(target, known)} ({shorten(map(str, paths))} have: "
        f"{shorten(dict.fromkeys(known))}); add it to one of them, or name it with --target"
    )


def _find_key(
    paths: Sequence[Path],
    frames: Sequence[pl.DataFrame],
    targets: Sequence[str],
    id_column: str | None,
) -> str | None:
    """The column whose cells name the rows; None: a single file without one."""
    if id_column is not None:
        for path, frame in zip(paths, frames, strict=True):
            require_columns(frame, [id_column], str(path))
        return id_column
    shared = [name for name in frames[0].columns if all(name in frame.columns for frame in frames)]
    others = [name for name in shared if name not in {*RESERVED, *targets}]
    found = infer_id_name(_first_repeat(frames[0]).select(others)) if others else None
    numbers = [name for name in ROWS if name in shared]
    if found is not None or numbers:
        return found or numbers[0]
    if len(frames) == 1:
        return None
    listed = "; ".join(
        f"{path}: {shorten(frame.columns, 6)}" for path, frame in zip(paths, frames, strict=True)
    )
    raise ValueError(
        f"these files share no column that names their rows ({listed}); give each an id or a column 'row', or name "
        "the column with --id-column"
    )


def _first_repeat(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of one repeat, in which an id stands once."""
    if REPEAT not in frame.columns:
        return frame
    return frame.filter(pl.col(REPEAT).eq_missing(pl.col(REPEAT).first()))


def _tell_apart(paths: Sequence[Path]) -> list[str]:
    """The stems, with as many folders before them as it takes."""
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        labels = ["/".join((*path.parts[:-1], path.stem)[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    again = sorted({str(path) for path in paths if list(paths).count(path) > 1})
    raise ValueError(f"{shorten(again)} is given twice; give each file once")


def _with_key(frame: pl.DataFrame, key: str | None) -> pl.DataFrame:
    ids = pl.Series(range(frame.height)).cast(pl.String) if key is None else frame[key]
    return pl.DataFrame([ids.alias(KEY), *frame.iter_columns()])


def _one_row_each(path: Path, frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Rows without any prediction left out, and the mean over repeats; then each id stands once."""
    has_any = frame.select(
        pl.any_horizontal(pl.col(columns).is_not_null() & (pl.col(columns) != ""))
    )
    frame = frame.filter(has_any.to_series())
    if REPEAT in frame.columns and frame[KEY].n_unique() < frame.height:
        # A cell that is no number stays as it is in one of the repeats, and is named later.
        means = [
            pl.when(pl.col(name).cast(pl.Float64, strict=False).is_null().any())
            .then(pl.col(name).sort_by(pl.col(name).cast(pl.Float64, strict=False)).first())
            .otherwise(pl.col(name).cast(pl.Float64, strict=False).mean().cast(pl.String))
            .alias(name)
            for name in columns
        ]
        others = [pl.col(name).first() for name in frame.columns if name not in {KEY, *columns}]
        frame = frame.group_by(KEY, maintain_order=True).agg(*others, *means)
    if frame[KEY].has_nulls():
        raise ValueError(f"{path} has {frame[KEY].null_count()} rows without an id; fill them in")
    again = frame[KEY].filter(frame[KEY].is_duplicated()).unique(maintain_order=True)
    if len(again):
        raise ValueError(
            f"{path} has {len(again)} ids on several rows: {shorten(again)}; each row is answered once, or several "
            "times with a column 'repeat'"
        )
    if frame.height == 0:
        raise ValueError(f"{path} has no prediction in any row")
    return frame


def _align(files: Sequence[OofFile], key: str | None) -> list[OofFile]:
    """All files in the order of the first one."""
    ids, faults = files[0].frame[KEY], []
    for file in files[1:]:
        others = file.frame[KEY]
        for where, missing in (
            (file.path, ids.filter(~ids.is_in(others.implode()))),
            (files[0].path, others.filter(~others.is_in(ids.implode()))),
        ):
            if len(missing):
                faults.append(
                    f"{where} lacks {len(missing)} rows that others have: {shorten(missing, 5)}"
                )
    if faults:
        raise ValueError(
            f"the files do not have the same rows by {key}: {'; '.join(faults)}; give predictions of the same table"
        )
    order = ids.to_frame()
    return [
        OofFile(
            file.path,
            file.label,
            order.join(file.frame, on=KEY, maintain_order="left"),
            file.columns,
        )
        for file in files
    ]


def _join_targets(files: Sequence[OofFile], names: Sequence[str]) -> pl.DataFrame:
    having = [file for file in files if set(names) <= set(file.frame.columns)]
    first = having[0].frame.select(names)
    for file in having[1:]:
        other = file.frame.select(names)
        for name in names:
            ours, theirs = first[name], other[name]
            numbers = [each.cast(pl.Float64, strict=False) for each in (ours, theirs)]
            is_equal = ours.eq_missing(theirs) | (numbers[0] == numbers[1]).fill_null(False)
            rows = (~is_equal).arg_true()
            if len(rows):
                row = int(rows[0])
                raise ValueError(
                    f"{file.path} and {having[0].path} have different values of {name!r} in {len(rows)} rows, such as "
                    f"{theirs[row]!r} and {ours[row]!r} at {file.frame[KEY][row]}; give predictions of the same table"
                )
    return first


def _join_folds(files: Sequence[OofFile]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Folds of the first file that has them; a remark where others were made on other folds."""
    found: list[tuple[Path, np.ndarray]] = []
    for file in files:
        name = next((name for name in (FOLD, TIME_FOLD) if name in file.frame.columns), None)
        if name is None:
            continue
        numbers = file.frame[name].cast(pl.Float64, strict=False)
        is_wrong = numbers.is_null() | (numbers != numbers.round()).fill_null(True)
        if is_wrong.any():
            cells = file.frame[name].filter(is_wrong).unique().to_list()
            raise ValueError(
                f"column {name!r} of {file.path} is no whole number in {int(is_wrong.sum())} rows: "
                f"{shorten(map(repr, cells))}; rows with predictions are in a fold, numbered from 0"
            )
        found.append((file.path, numbers.cast(pl.Int64).to_numpy()))
    if not found:
        return None, ()
    path, folds = found[0]
    if len(np.unique(folds)) < 2:
        raise ValueError(
            f"all rows of {path} are in fold {folds[0]}, so that a blend cannot be judged; give out-of-fold predictions "
            "of at least two folds, or leave the column out to draw five"
        )
    others = [
        str(other)
        for other, theirs in found[1:]
        if len({*zip(folds.tolist(), theirs.tolist(), strict=True)}) != len(np.unique(folds))
    ]
    if not others:
        return folds, ()
    return folds, (
        f"folds: those of {path}; {shorten(others)} was made on others, so that the blend may flatter itself a little",
    )
