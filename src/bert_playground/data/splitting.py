"""split_table: training and validation rows as the configuration says; make_folds: the same, into folds; split_windows: of series."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.config.schema import DataSection
from bert_playground.data.core.columns import read_test_columns
from bert_playground.data.core.folds import read_folds, rows_of_fold, write_folds
from bert_playground.data.core.moments import find_time_column, infer_time_form, read_moments
from bert_playground.data.core.split import (
    draw_folds,
    draw_time_folds,
    find_groups,
    make_strata,
    number_groups,
    split_by_time,
    split_rows,
)
from bert_playground.data.core.table import read_table, require_columns
from bert_playground.data.core.targets import encode_targets, fit_targets, split_target
from bert_playground.data.core.windows import Windows
from bert_playground.data.roles import find_roles
from bert_playground.tasks import TASKS


class Plan(NamedTuple):
    """What a split goes by; `moments` are there for a split by time, and stand for all else."""

    strata: np.ndarray  # [R]
    groups: np.ndarray | None  # [R], or None: each row stands alone
    moments: np.ndarray | None  # [R]
    said: str  # how, or the time column


def split_table(
    frame: pl.DataFrame, options: DataSection, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Row numbers of the training and validation side, and the sentence that says how they were drawn.

    Args:
        frame: all cells as text.
        options: with target and task filled in.
        seed: draws the rows.

    Raises:
        ValueError: columns or folds that are not there, or too few rows for both sides.
    """
    if options.folds is not None:
        folds, in_time = read_folds(options.folds, frame)
        train, val = rows_of_fold(folds, options.fold, in_time=in_time)
        earlier = f" by {len(train)} rows of earlier ones" if in_time else ""
        return (
            train,
            val,
            (
                f"validation: {len(val)} of {frame.height} rows, fold {options.fold} of {options.folds}{earlier}"
            ),
        )
    plan = plan_split(frame, options)
    if plan.moments is not None:
        train, val = split_by_time(plan.moments, options.val_fraction)
        return (
            train,
            val,
            (
                f"validation: {len(val)} of {frame.height} rows, the latest by {plan.said}; or give a table with --val"
            ),
        )
    train, val = split_rows(plan.strata, plan.groups, options.val_fraction, seed)
    said = f"validation: {len(val)} of {frame.height} rows, {plan.said} (seed {seed}); or give a table with --val"
    return train, val, said


def make_folds(
    frame: pl.DataFrame, options: DataSection, num_folds: int, seed: int
) -> tuple[np.ndarray, bool, str]:
    """[R] the fold of each row (-1: always trained on), whether they follow in time, and how they were drawn.

    Args:
        frame: all cells as text.
        options: with target and task filled in.
        num_folds: K, at least 2.
        seed: draws them.

    Raises:
        ValueError: columns that are not there, or too few rows.
    """
    plan = plan_split(frame, options)
    if plan.moments is not None:
        said = f"one after the other by {plan.said}, each for models of earlier rows"
        return draw_time_folds(plan.moments, num_folds), True, said
    folds = draw_folds(plan.strata, plan.groups, num_folds, seed)
    return folds, False, f"{plan.said} (seed {seed})"


def write_table_folds(
    options: DataSection, num_folds: int, seed: int, path: Path
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a table, deal its rows to folds, and write the file; returns what was written, and what was decided.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: see `make_folds` and `write_folds`.
    """
    assert options.train is not None
    frame = read_table(options.train)
    roles = find_roles(frame, options, read_test_columns(options.train, frame.columns))
    frame = frame.drop(roles.dropped)
    found = {"target": roles.target, "id_column": roles.id_column, "task": roles.task}
    folds, in_time, said = make_folds(frame, options.model_copy(update=found), num_folds, seed)
    ids = None if roles.id_column is None else frame[roles.id_column]
    written = write_folds(path, folds, ids, in_time=in_time)
    return written, (*roles.statements, f"{num_folds} folds: {said}")


def plan_split(frame: pl.DataFrame, options: DataSection) -> Plan:
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
            read_moments(frame[name]),
            name,
        )
    strata, how = _find_strata(frame, options)
    groups, shared = None, ""
    if kind != "stratified":
        groups, shared = _find_groups(frame, options)
    if groups is None and options.split in ("grouped", "stratified_grouped"):
        raise ValueError(
            f"split {options.split} needs groups, but no column's values are shared by some rows; name one with "
            "data.group_column"
        )
    if kind == "grouped":
        return Plan(np.zeros_like(strata), groups, None, f"drawn{shared}")
    return Plan(strata, groups, None, how + shared)


def _require_fitting(options: DataSection, kind: str) -> None:
    wrong = []
    if options.group_column is not None and kind in ("time", "stratified"):
        wrong.append(f"data.group_column {options.group_column!r} (it is for grouped splits)")
    if options.time_column is not None and kind != "time":
        wrong.append(f"data.time_column {options.time_column!r} (it is for splits by time)")
    if wrong:
        raise ValueError(
            f"a {kind} split does not look at {' and '.join(wrong)}; change data.split, or leave it out"
        )


def _find_strata(frame: pl.DataFrame, options: DataSection) -> tuple[np.ndarray, str]:
    assert options.target is not None
    assert options.task is not None
    encoder = fit_targets(frame, options.target, options.task, options.class_order)
    labels = encode_targets(encoder, frame, split_target(options.target, frame.columns))
    is_classification = TASKS[options.task].is_classification
    how = "stratified" if is_classification else "stratified by quantiles"
    return make_strata(labels, is_classification=is_classification), how


def _find_groups(frame: pl.DataFrame, options: DataSection) -> tuple[np.ndarray | None, str]:
    """[R] the named groups, or those that the table shows, and how to say it."""
    if options.group_column is not None:
        require_columns(frame, [options.group_column], "the training table")
        said = f", rows that share {options.group_column} on one side"
        return number_groups(frame[options.group_column]), said
    assert options.target is not None
    targets = split_target(options.target, frame.columns)
    left_out = {*targets, options.id_column, *options.drop_columns}
    skip = [name for name in frame.columns if name in left_out]
    found = find_groups(frame.drop(skip))
    if found is None:
        return None, ""
    return found[0], f", rows that share {' or '.join(found[1])} on one side"


def plan_windows(frame: pl.DataFrame, options: DataSection) -> Windows | None:
    """How the configuration cuts a table of series into windows; None where it asks for no horizon.

    Raises:
        ValueError: no target, no time column, or settings that windows cannot follow.
    """
    if options.horizon is None:
        if options.series_column is not None:
            raise ValueError(
                "data.series_column belongs to windows; say how far to look ahead with data.horizon"
            )
        return None
    wrong = []
    if options.target is None:
        wrong.append("no target: name the column whose next values are wanted with --target")
    if options.task not in (None, "timeseries"):
        wrong.append(f"task {options.task}: windows are of task timeseries")
    if options.split not in ("auto", "time") or options.group_column or options.folds:
        wrong.append(
            "another split than by time: it would look ahead; leave data.split, group_column and folds out"
        )
    if wrong:
        raise ValueError(
            f"windows with a horizon of {options.horizon} do not work with {'; '.join(wrong)}"
        )
    assert options.target is not None
    time_column = options.time_column or find_time_column(frame)
    require_columns(frame, [time_column], "the training table")
    return Windows(
        value=options.target,
        time_column=time_column,
        series_column=options.series_column,
        lags=options.lags,
        horizon=options.horizon,
        time_form=infer_time_form(frame[time_column]),
    )


def split_windows(
    frame: pl.DataFrame, windows: Windows, options: DataSection
) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """Training and validation windows: those that begin late are validation, and no training window reaches into them.

    Args:
        frame: the long table, all cells as text.
        windows: how it is cut.
        options: for the share of validation rows.

    Raises:
        ValueError: too few moments for both sides.
    """
    table = windows.label(frame)
    moments = read_moments(table.frame[windows.time_column], windows.time_form)
    train, val = split_by_time(moments, options.val_fraction)
    is_early = table.ends[train] <= moments[val].min()
    if not is_early.any():
        raise ValueError(
            f"every training window of {windows.horizon} steps reaches into the validation rows; ask for a shorter "
            "data.horizon, another data.val_fraction, or give a table with --val"
        )
    said = (
        f"validation: {len(val)} windows, the latest by {windows.time_column}; {int(is_early.sum())} end before, "
        f"{int((~is_early).sum())} reach into them and are left out"
    )
    return table.frame[train[is_early]], table.frame[val], said
