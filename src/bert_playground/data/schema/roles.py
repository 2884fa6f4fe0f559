"""Which column is the target, which the id, and what task that is; all said in sentences."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bert_playground.config.datasets import DATASETS, DatasetEntry
from bert_playground.data.columns.parsing import PLAIN, infer_number, read_number
from bert_playground.data.reading.table import read_table, require_columns
from bert_playground.data.reading.table_stream import is_large, open_stream
from bert_playground.data.targets.fit import split_target
from bert_playground.data.targets.label_encoder import clean_labels, label_dtype, require_labels
from bert_playground.data.targets.label_lists import holds_lists, require_repeated
from bert_playground.logger import logger
from bert_playground.lookup import look_up, nearest, shorten
from bert_playground.tasks import TASKS

NO_ID = "none"  # asked for, where no column is called so: rows are named by their number
MOSTLY_OWN = 0.95  # of the rows have an id of their own; the rest may be copies
MOSTLY_EMPTY = 0.5  # of the rows: nobody means such a column unless they say so
TARGET_NAMES = ("target", "label", "class", "y", "outcome", "labels", "category")


@dataclass(frozen=True)
class Roles:
    """Which columns are asked for, and what was said about the choice, of target and task first.

    `target` names one, or several between commas.
    """

    target: str
    id_column: str | None
    task: str
    dropped: tuple[str, ...]
    statements: tuple[str, ...]
    targets: tuple[str, ...]  # the columns that `target` names
    known: DatasetEntry | None = (
        None  # the data set that the table is, where its own question is asked
    )


def infer_roles(
    frame: pl.DataFrame,
    *,
    target: str | None = None,
    id_column: str | None = None,
    task: str | None = None,
    test_columns: Sequence[str] | None = None,
    datasets: Mapping[str, DatasetEntry] = DATASETS,
    excluded: Collection[str] = (),
) -> Roles:
    """Decide target, id column and task of a training table; what is given is taken, the rest is inferred.

    Args:
        frame: the training table, all cells as text.
        target: the column asked for, or several between commas; None: of a known data set, else what the test table
            lacks, else a column with a telling name, else the last that is not mostly empty.
        id_column: None: the first unique column that is called an id or counts the rows; NO_ID: there is none.
        task: None: two labels are binary, a few or strings are multiclass, everything else is regression; of several
            columns, those with two values each are multilabel, and numbers are timeseries.
        test_columns: the columns of the table to predict, where it is known: what it lacks cannot be a feature.
        datasets: those that are known by their columns.
        excluded: columns that have another part, so that none of them is inferred to be the target.

    Raises:
        ValueError: a given column is absent, or labels are missing or unfit for the task.
    """
    given = () if target is None else split_target(target, frame.columns)
    is_without = id_column == NO_ID and NO_ID not in frame.columns
    asked = [] if id_column is None or is_without else [id_column]
    require_columns(frame, [*given, *asked], "the training table")
    _require_several(frame)
    known = recognise(frame.columns, datasets)
    if target is None and known is not None:
        _require_known(known, frame.columns)
    absent = [
        name for name in frame.columns if test_columns is not None and name not in test_columns
    ]
    dropped: tuple[str, ...] = ()
    reason = "as given"
    if target is None:
        target, reason = _infer_target(frame, known, absent, excluded)
    names = given or split_target(target, frame.columns)
    target = names[0] if len(names) == 1 else target
    given_task = task
    task = task or (known.task if known and known.target == target else None)
    task = _find_task(frame.select(names), task, "" if given else reason)
    statements = [
        _describe_targets(frame.select(names), task, reason, is_given=given_task is not None)
    ]
    if set(names) <= set(absent):
        dropped = tuple(name for name in absent if name not in names)
        if dropped:
            statements.append(f"left out: {', '.join(dropped)} (the test table has no such column)")
    others = frame.drop(names)
    if is_without:
        id_column = None
        statements.append("id: none (as given), rows are named by their number")
    else:
        id_column = _infer_id(others, known) if id_column is None else id_column
        statements += [] if id_column is None else [_describe_id(frame[id_column])]
    index = _find_index(others, id_column, is_without=is_without)
    if index is not None:
        dropped = tuple(dict.fromkeys((*dropped, index)))
        statements.append(f"left out: {index!r} (it only counts the rows)")
    is_asked = known is not None and known.target == target
    return Roles(
        target,
        id_column,
        task,
        dropped,
        tuple(statements),
        names,
        known if is_asked else None,
    )


def _require_several(frame: pl.DataFrame) -> None:
    if frame.width > 1:
        return
    name = frame.columns[0] if frame.width else ""
    raise ValueError(
        f"the training table has the single column {name[:80]!r}, expected a target and at least one more; if it has "
        "several, cells must stand between commas, semicolons, tabs or bars"
    )


def _require_known(known: DatasetEntry, columns: list[str]) -> None:
    """Raise where an entry of the registry knows columns that its table lacks."""
    asked = [*split_target(known.target, columns), *filter(None, [known.id_column])]
    missing = [f"{name!r}{nearest(name, columns)}" for name in asked if name not in columns]
    if missing:
        raise ValueError(
            f"the table has the columns of a known data set ({shorten(sorted(known.columns))}), but lacks "
            f"{', '.join(missing)}, its target or id; correct the entry in datasets.yaml, or give --target"
        )


def infer_target_name(
    frame: pl.DataFrame,
    test_columns: list[str] | None,
    datasets: Mapping[str, DatasetEntry] = DATASETS,
    excluded: Collection[str] = (),
) -> tuple[str, str]:
    """The target as `infer_roles` finds it, and why, for tables whose labels need not fit a task."""
    columns = frame.columns
    known = recognise(columns, datasets)
    absent = [name for name in columns if test_columns is not None and name not in test_columns]
    return _infer_target(frame, known, absent, excluded)


def infer_id_name(
    frame: pl.DataFrame, datasets: Mapping[str, DatasetEntry] = DATASETS
) -> str | None:
    """The id column as `infer_roles` finds it, in a table without its target."""
    return _infer_id(frame, recognise(frame.columns, datasets))


def recognise(
    columns: list[str], datasets: Mapping[str, DatasetEntry] = DATASETS
) -> DatasetEntry | None:
    """The facts of the first data set that has these columns, if it is a known one."""
    return next((known for known in datasets.values() if known.columns <= set(columns)), None)


def _infer_target(
    frame: pl.DataFrame,
    known: DatasetEntry | None,
    absent: list[str],
    excluded: Collection[str] = (),
) -> tuple[str, str]:
    if known is not None and set(split_target(known.target, frame.columns)) <= set(frame.columns):
        return known.target, "the columns are those of a known data set"
    absent = [name for name in absent if name not in excluded]
    if len(absent) == 1:
        return absent[0], "the only column that the test table lacks"
    candidates = absent or [name for name in frame.columns if name not in excluded]
    candidates = candidates or frame.columns
    by_name = [name for name in candidates if name.lower() in TARGET_NAMES]
    if by_name:
        return _last_filled(frame, by_name), "by its name"
    name = _last_filled(frame, candidates)
    skipped = candidates[candidates.index(name) + 1 :]
    return name, (
        "the last column"
        + (" that the test table lacks" if absent else "")
        + (f", but for {shorten(map(repr, skipped))}, mostly empty" if skipped else "")
    )


def _last_filled(frame: pl.DataFrame, names: list[str]) -> str:
    """The last of the columns that is not mostly empty; where all are, the last."""
    return next((name for name in reversed(names) if _is_filled(frame[name])), names[-1])


def _is_filled(labels: pl.Series) -> bool:
    """Whether most rows have a label; a list may be empty."""
    missing = clean_labels(labels).null_count()
    return missing <= MOSTLY_EMPTY * len(labels) or holds_lists(labels)


def _find_task(labels: pl.DataFrame, task: str | None, reason: str = "") -> str:
    """The task that is asked for or fits the target columns; `reason`: why these, where they were inferred.

    Raises:
        ValueError: labels are missing, or unfit for the task.
    """
    try:
        return _fit_task(labels, task)
    except ValueError as error:
        if not reason:
            raise
        raise ValueError(
            f"target {', '.join(labels.columns)} was inferred ({reason}): if it is another column, name that with --target; "
            f"else: {error}"
        ) from error


def _fit_task(labels: pl.DataFrame, task: str | None) -> str:
    if task is not None:
        look_up(TASKS, task, "task")
    elif labels.width == 1 and holds_lists(labels.to_series()):
        task = "multilabel"
    if task == "multilabel" and labels.width == 1:
        require_repeated(labels.to_series())
    # A list may be empty: a row without any label.
    if labels.width > 1 or task != "multilabel":
        for column in labels.iter_columns():
            require_labels(column)
    if task is not None:
        return task
    if labels.width == 1:
        return _infer_task(labels.to_series())
    if all(column.str.strip_chars().n_unique() <= 2 for column in labels.iter_columns()):
        return "multilabel"
    words = [
        column.name
        for column in labels.iter_columns()
        if label_dtype(column.str.strip_chars()) not in ("int", "float")
    ]
    if not words:
        return "timeseries"
    raise ValueError(
        f"several targets are labels with two values each (multilabel) or numbers (timeseries), but {', '.join(words)} "
        "hold neither; give other columns with --target"
    )


def _infer_task(labels: pl.Series) -> str:
    text = labels.str.strip_chars()
    distinct = text.n_unique()
    if distinct <= 2:
        return "binary"
    if label_dtype(text) == "str":
        if distinct > 20 and infer_number(text) is not None:
            return "regression"
        if distinct > max(20, len(text) / 4):
            raise ValueError(
                f"target {labels.name!r} has {distinct} different strings in {len(text)} rows, such as "
                f"{text[0]!r}: that is no class; give the right column with --target"
            )
        return "multiclass"
    whole = bool((text.cast(pl.Float64) == text.cast(pl.Float64).round()).all())
    return "multiclass" if whole and distinct <= min(20, len(text) / 5) else "regression"


def _describe_targets(labels: pl.DataFrame, task: str, reason: str, *, is_given: bool) -> str:
    if labels.width == 1 and not TASKS[task].has_many_targets:
        return _describe_target(labels.to_series(), task, reason, is_given=is_given)
    override = "--target" if is_given else "--target or --task"
    named = (
        f"target: {labels.columns[0]}"
        if labels.width == 1
        else f"targets: {shorten(labels.columns)}"
    )
    return f"{named}, {task} ({reason}); override with {override}"


def _describe_target(labels: pl.Series, task: str, reason: str, *, is_given: bool) -> str:
    text = labels.alias("label").str.strip_chars()
    if not TASKS[task].is_classification:
        spelling = infer_number(text) or PLAIN
        read = text.to_frame().select(read_number(pl.col("label"), spelling)).to_series()
        numbers = read.drop_nulls().to_list()
        detail = f"{min(numbers, default=0):g} to {max(numbers, default=0):g}"
    else:
        shares = text.value_counts(sort=True, normalize=True)
        if task == "binary":
            positive = max(text.unique().to_list(), key=_sort_key)
            share = shares.filter(pl.col("label") == positive)["proportion"].item()
            detail = f"{share:.0%} {'positive' if positive == '1' else positive}".replace("%", " %")
        else:
            detail = f"{shares.height} classes, most often {shares['label'][0]}"
    detail += _describe_alike(text) if task in ("binary", "multiclass") else ""
    override = "--target" if is_given else "--target or --task"
    return f"target: {labels.name}, {task}, {detail} ({reason}); override with {override}"


def _describe_alike(labels: pl.Series) -> str:
    """What to say of classes that differ in capitals alone."""
    names = labels.unique().sort()
    alike = names.filter(names.str.to_lowercase().is_duplicated())
    return f", of which {shorten(alike)} differ in capitals alone" if len(alike) else ""


def _sort_key(label: str) -> tuple[float, str]:
    try:
        return (float(label), "")
    except ValueError:
        return (float("inf"), label)


def _infer_id(frame: pl.DataFrame, known: DatasetEntry | None) -> str | None:
    """The first column that is called an id and names nearly every row; else a first column that counts the rows."""
    if known is not None and known.id_column in frame.columns:
        return known.id_column
    for column in frame.iter_columns():
        if _is_called_id(column.name) and _is_one_word(column):
            values = column.drop_nulls()
            if len(values) and values.n_unique() >= MOSTLY_OWN * len(column):
                return column.name
    first = frame.columns[0] if frame.width else None
    return first if first is not None and _counts_rows(frame[first]) else None


def _is_called_id(name: str) -> bool:
    is_named = name.lower() in ("id", "index", "uid", "uuid", "guid")
    return is_named or name.endswith(("Id", "ID", "_id"))


def _counts_rows(column: pl.Series) -> bool:
    numbers = column.cast(pl.Int64, strict=False)
    is_own = not numbers.has_nulls() and column.n_unique() == len(column)
    return is_own and numbers.is_sorted() and len(column) > 2


def _find_index(
    frame: pl.DataFrame, id_column: str | None, *, is_without: bool = False
) -> str | None:
    """A first column beside the id, or in its place, that a data frame's row numbers were written to: "Unnamed: 0"."""
    is_settled = id_column is None and not is_without
    if is_settled or not frame.width or frame.columns[0] == id_column:
        return None
    name = frame.columns[0]
    is_nameless = name.strip() == "" or name.startswith("Unnamed: ")
    return name if is_nameless and _counts_rows(frame[name]) else None


def _describe_id(column: pl.Series) -> str:
    message = f"id: {column.name or repr(column.name)}, not a feature; override with --id-column"
    repeated = len(column) - column.n_unique()
    return message + (f" (it repeats on {repeated} of {len(column)} rows)" if repeated else "")


def _is_one_word(column: pl.Series) -> bool:
    return not column.str.contains(r"\s").any()


def read_test_columns(train_path: Path, columns: list[str]) -> list[str] | None:
    """The columns of a test.csv beside train.csv, if it is one of the same table."""
    path = _find_test_table(train_path)
    if path is not None and is_large(path):
        return _if_same(list(open_stream(path).columns), columns)
    found = read_test_table(train_path, columns)
    return None if found is None else found.columns


def read_test_table(train_path: Path, columns: list[str]) -> pl.DataFrame | None:
    """The rows of a test.csv beside train.csv, if it is one of the same table, and none that is streamed."""
    path = _find_test_table(train_path)
    if path is None or is_large(path):
        return None
    try:
        found = read_table(path)
    except ValueError as error:
        logger.debug(f"{path} is not looked at: {error}")
        return None
    return None if _if_same(found.columns, columns) is None else found


def _find_test_table(train_path: Path) -> Path | None:
    path = train_path.with_name(train_path.name.replace("train", "test"))
    return path if path != train_path and path.exists() else None


def _if_same(found: list[str], columns: list[str]) -> list[str] | None:
    return found if len(set(found) & set(columns)) >= len(columns) / 2 else None
