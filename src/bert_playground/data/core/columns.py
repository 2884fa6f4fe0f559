"""Which column is the target, which the id, and what task that is; all said in sentences."""

from dataclasses import dataclass

import polars as pl

from bert_playground.competitions import COMPETITIONS, Competition
from bert_playground.data.core.labels import label_dtype, require_labels
from bert_playground.data.core.table import require_columns
from bert_playground.lookup import look_up
from bert_playground.tasks import TASKS

TARGET_NAMES = ("target", "label", "class", "y", "outcome", "labels", "category")


@dataclass(frozen=True)
class Roles:
    """Which columns are asked for, and what was said about the choice."""

    target: str
    id_column: str | None
    task: str
    dropped: tuple[str, ...]
    statements: tuple[str, ...]


def infer_roles(
    frame: pl.DataFrame,
    *,
    target: str | None = None,
    id_column: str | None = None,
    task: str | None = None,
    test_columns: list[str] | None = None,
) -> Roles:
    """Decide target, id column and task of a training table; what is given is taken, the rest is inferred.

    Args:
        frame: the training table, all cells as text.
        target: the column asked for; None: of a known data set, else what the test table lacks, else a column with a
            telling name, else the last.
        id_column: None: the first unique column that is called an id or counts the rows.
        task: None: two labels are binary, a few or strings are multiclass, everything else is regression.
        test_columns: the columns of the table to predict, where it is known: what it lacks cannot be a feature.

    Raises:
        ValueError: a given column is absent, or labels are missing or unfit for the task.
    """
    require_columns(
        frame, [name for name in (target, id_column) if name is not None], "the training table"
    )
    known = _recognise(frame.columns)
    absent = [
        name for name in frame.columns if test_columns is not None and name not in test_columns
    ]
    dropped: tuple[str, ...] = ()
    if target is None:
        target, reason = _infer_target(frame.columns, known, absent)
    else:
        reason = "as given"
    statements = []
    labels = frame[target]
    require_labels(labels)
    given_task = task
    task = task or (known.task if known and known.target == target else _infer_task(labels))
    look_up(TASKS, task, "task")
    statements.append(_say_target(labels, task, reason, is_given=given_task is not None))
    if target in absent:
        dropped = tuple(name for name in absent if name != target)
        if dropped:
            statements.append(f"left out: {', '.join(dropped)} (the test table has no such column)")
    if id_column is None:
        id_column = _infer_id(frame.drop(target), known)
    if id_column is not None:
        statements.append(f"id: {id_column}, not a feature; override with --id-column")
    return Roles(target, id_column, task, dropped, tuple(statements))


def _recognise(columns: list[str]) -> Competition | None:
    return next((known for known in COMPETITIONS.values() if known.columns <= set(columns)), None)


def _infer_target(
    columns: list[str], known: Competition | None, absent: list[str]
) -> tuple[str, str]:
    if known is not None and known.target in columns:
        return known.target, "the columns are those of a known data set"
    if len(absent) == 1:
        return absent[0], "the only column that the test table lacks"
    candidates = absent or columns
    by_name = [name for name in candidates if name.lower() in TARGET_NAMES]
    if by_name:
        return by_name[-1], "by its name"
    return candidates[-1], "the last column" + (" that the test table lacks" if absent else "")


def _infer_task(labels: pl.Series) -> str:
    text = labels.str.strip_chars()
    distinct = text.n_unique()
    if distinct <= 2:
        return "binary"
    if label_dtype(text) == "str":
        if distinct > max(20, len(text) / 4):
            raise ValueError(
                f"target {labels.name!r} has {distinct} different strings in {len(text)} rows, such as "
                f"{text[0]!r}: that is no class; give the right column with --target"
            )
        return "multiclass"
    whole = bool((text.cast(pl.Float64) == text.cast(pl.Float64).round()).all())
    return "multiclass" if whole and distinct <= min(20, len(text) / 5) else "regression"


def _say_target(labels: pl.Series, task: str, reason: str, *, is_given: bool) -> str:
    text = labels.str.strip_chars()
    if task == "regression":
        numbers = text.cast(pl.Float64, strict=False).drop_nulls().to_list()
        detail = f"{min(numbers, default=0):g} to {max(numbers, default=0):g}"
    else:
        shares = text.value_counts(sort=True, normalize=True)
        if task == "binary":
            positive = max(text.unique().to_list(), key=_sort_key)
            share = shares.filter(pl.col(text.name) == positive)["proportion"].item()
            detail = f"{share:.0%} {'positive' if positive == '1' else positive}".replace("%", " %")
        else:
            detail = f"{shares.height} classes, most often {shares[text.name][0]}"
    override = "--target" if is_given else "--target or --task"
    return f"target: {labels.name}, {task}, {detail} ({reason}); override with {override}"


def _sort_key(label: str) -> tuple[float, str]:
    try:
        return (float(label), "")
    except ValueError:
        return (float("inf"), label)


def _infer_id(frame: pl.DataFrame, known: Competition | None) -> str | None:
    """The first column that is called an id, or counts the rows, and never repeats."""
    if known is not None and known.id_column in frame.columns:
        return known.id_column
    for position, name in enumerate(frame.columns):
        column = frame[name]
        if column.has_nulls() or column.n_unique() != len(column):
            continue
        numbers = column.cast(pl.Int64, strict=False)
        is_named = name.lower() in ("id", "index", "uid", "uuid", "guid") or name.endswith(
            ("Id", "ID", "_id")
        )
        counts_rows = not numbers.has_nulls() and position == 0 and numbers.is_sorted()
        if (is_named and _is_one_word(column)) or (counts_rows and len(column) > 2):
            return name
    return None


def _is_one_word(column: pl.Series) -> bool:
    return not column.str.contains(r"\s").any()
