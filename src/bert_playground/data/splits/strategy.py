"""split_table: training and validation rows as asked for; make_folds: the same, into folds; split_windows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.columns.timestamps import find_time_column, parse_timestamps
from bert_playground.data.core.schema import Schema
from bert_playground.data.reading.table import require_columns
from bert_playground.data.splits.split import (
    draw_folds,
    draw_time_folds,
    find_groups,
    make_strata,
    number_groups,
    split_by_time,
    split_rows,
)
from bert_playground.data.targets.fit import encode_targets, fit_targets
from bert_playground.data.targets.windows import Windows
from bert_playground.tasks import TASKS


@dataclass(frozen=True)
class SplitOptions:
    """How validation rows are drawn; the fields are those of the configuration's section `data`.

    Attributes:
        split: "auto", "stratified", "grouped", "time" or "stratified_grouped".
        val_fraction: the share of the rows.
        group_column: rows that share it stay on one side; None: what the table shows.
        time_column: when a row happened; None: found where it is needed.
        drop_columns: that no group is read from.
    """

    split: str = "auto"
    val_fraction: float = 0.2
    group_column: str | None = None
    time_column: str | None = None
    drop_columns: tuple[str, ...] = ()


class Plan(NamedTuple):
    """What a split goes by; `timestamps` are there for a split by time, and stand for all else."""

    strata: np.ndarray  # [R]
    groups: np.ndarray | None  # [R], or None: each row stands alone
    timestamps: np.ndarray | None  # [R]
    description: str  # how, or the time column


def split_table(
    frame: pl.DataFrame, schema: Schema, options: SplitOptions, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Row numbers of the training and validation side, and the sentence that says how they were drawn.

    Args:
        frame: all cells as text.
        schema: names target and task, for the strata.
        options: how rows are drawn.
        seed: draws the rows.

    Raises:
        ValueError: columns that are not there, or too few rows for both sides.
    """
    plan = plan_split(frame, schema, options)
    if plan.timestamps is not None:
        train, val = split_by_time(plan.timestamps, options.val_fraction)
        return (
            train,
            val,
            (
                f"validation: {len(val)} of {frame.height} rows, the latest by {plan.description}; or give a table with --val"
            ),
        )
    train, val = split_rows(plan.strata, plan.groups, options.val_fraction, seed)
    message = f"validation: {len(val)} of {frame.height} rows, {plan.description} (seed {seed}); or give a table with --val"
    return train, val, message


def make_folds(
    frame: pl.DataFrame, schema: Schema, options: SplitOptions, num_folds: int, seed: int
) -> tuple[np.ndarray, bool, str]:
    """[R] the fold of each row (-1: always trained on), whether they follow in time, and how they were drawn.

    Args:
        frame: all cells as text.
        schema: names target and task, for the strata.
        options: how rows are drawn.
        num_folds: K, at least 2.
        seed: draws them.

    Raises:
        ValueError: columns that are not there, or too few rows.
    """
    plan = plan_split(frame, schema, options)
    if plan.timestamps is not None:
        message = f"one after the other by {plan.description}, each for models of earlier rows"
        return draw_time_folds(plan.timestamps, num_folds), True, message
    folds = draw_folds(plan.strata, plan.groups, num_folds, seed)
    return folds, False, f"{plan.description} (seed {seed})"


def plan_split(frame: pl.DataFrame, schema: Schema, options: SplitOptions) -> Plan:
    """What a split of this table goes by; "auto" is by time where a time column is named, else stratified and grouped.

    Raises:
        ValueError: the kind of split needs a column that is not named and cannot be found, or one is named that it
            does not look at.
    """
    kind = options.split
    if kind == "auto":
        kind = "stratified_grouped" if options.time_column is None else "time"
    _require_fitting(options, kind)
    if kind == "time":
        name = options.time_column or find_time_column(frame)
        require_columns(frame, [name], "the training table")
        return Plan(
            np.zeros(frame.height, dtype=np.int64),
            None,
            parse_timestamps(frame[name]),
            name,
        )
    strata, how = _find_strata(frame, schema)
    groups, shared = None, ""
    if kind != "stratified":
        groups, shared = _find_groups(frame, schema, options)
    if groups is None and options.split in ("grouped", "stratified_grouped"):
        raise ValueError(
            f"split {options.split} needs groups, but no column's values are shared by some rows; name one with "
            "data.group_column"
        )
    if kind == "grouped":
        return Plan(np.zeros_like(strata), groups, None, f"drawn{shared}")
    return Plan(strata, groups, None, how + shared)


def _require_fitting(options: SplitOptions, kind: str) -> None:
    wrong = []
    if options.group_column is not None and kind in ("time", "stratified"):
        wrong.append(f"data.group_column {options.group_column!r} (it is for grouped splits)")
    if options.time_column is not None and kind != "time":
        wrong.append(f"data.time_column {options.time_column!r} (it is for splits by time)")
    if wrong:
        raise ValueError(
            f"a {kind} split does not look at {' and '.join(wrong)}; change data.split, or leave it out"
        )


def _find_strata(frame: pl.DataFrame, schema: Schema) -> tuple[np.ndarray, str]:
    encoder = fit_targets(frame, schema.target, schema.task, schema.class_order)
    labels = encode_targets(encoder, frame, schema.targets)
    is_classification = TASKS[schema.task].is_classification
    how = "stratified" if is_classification else "stratified by quantiles"
    return make_strata(labels, is_classification=is_classification), how


def _find_groups(
    frame: pl.DataFrame, schema: Schema, options: SplitOptions
) -> tuple[np.ndarray | None, str]:
    """[R] the named groups, or those that the table shows, and how to say it."""
    if options.group_column is not None:
        require_columns(frame, [options.group_column], "the training table")
        message = f", rows that share {options.group_column} on one side"
        return number_groups(frame[options.group_column]), message
    left_out = {*schema.targets, schema.id_column, *options.drop_columns}
    skip = [name for name in frame.columns if name in left_out]
    found = find_groups(frame.drop(skip))
    if found is None:
        return None, ""
    return found[0], f", rows that share {' or '.join(found[1])} on one side"


def split_windows(
    frame: pl.DataFrame, windows: Windows, val_fraction: float
) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """Training and validation windows: those that begin late are validation, and no training window reaches into them.

    Args:
        frame: the long table, all cells as text.
        windows: how it is cut.
        val_fraction: the share of the windows.

    Raises:
        ValueError: too few timestamps for both sides.
    """
    table = windows.label(frame)
    train, val = split_by_time(table.times, val_fraction)
    is_early = table.ends[train] <= table.times[val].min()
    if not is_early.any():
        raise ValueError(
            f"every training window of {windows.horizon} steps reaches into the validation rows; ask for a shorter "
            "data.horizon, another data.val_fraction, or give a table with --val"
        )
    message = (
        f"validation: {len(val)} windows, the latest by {windows.time_column}; {int(is_early.sum())} end before, "
        f"{int((~is_early).sum())} reach into them and are left out"
    )
    return table.frame[train[is_early]], table.frame[val], message
