"""prepare_tables: read the tables, decide target, id and task, split validation rows off."""

from typing import Any, NamedTuple

import polars as pl

from bert_playground.config.datasets import load_datasets
from bert_playground.config.schema import DataSection
from bert_playground.data.core.columns import Roles, read_test_columns, recognise
from bert_playground.data.core.imbalance import say_imbalance
from bert_playground.data.core.stream import TableStream
from bert_playground.data.core.table import read_table, require_columns
from bert_playground.data.core.targets import (
    encode_targets,
    fit_targets,
    split_target,
)
from bert_playground.data.core.windows import Windows
from bert_playground.data.roles import find_roles
from bert_playground.data.splitting import plan_windows, split_table, split_windows
from bert_playground.data.streamed import hold_rows, read_some, wants_stream


class Tables(NamedTuple):
    """The training and validation rows, and what was decided on the way.

    `options` are the user's with target, id column and task filled in: what `TextPipeline.fit` takes.
    """

    train: pl.DataFrame
    val: pl.DataFrame
    options: DataSection
    statements: tuple[str, ...]
    metric: str | None = None  # the one that a known data set is judged by
    windows: Windows | None = None  # how the rows were cut from a table of series
    stream: TableStream | None = None  # all training rows, where `train` is but a sample


def prepare_tables(options: DataSection, seed: int) -> Tables:
    """Read the tables, decide target, id and task, and split validation rows off where none are given.

    Raises:
        FileNotFoundError: a table is not there.
        ValueError: a table is faulty, or its labels are; see `read_table` and `infer_roles`.
    """
    if options.train is None:
        raise ValueError("no training table; give one with --train data/titanic/train.csv")
    held = hold_rows(options, seed) if wants_stream(options) else None
    frame = read_table(options.train) if held is None else held.sample
    start = f"{options.train}: {frame.height} rows, {frame.width} columns"
    windows = plan_windows(frame, options)
    if windows is not None:
        return _prepare_windows(frame, windows, options, start)
    datasets = load_datasets(options.registry)
    roles = find_roles(frame, options, read_test_columns(options.train, frame.columns))
    known = recognise(frame.columns, datasets)
    if known is not None and known.target != roles.target:
        known = None  # another question is asked of its table
    options = options.model_copy(
        update={
            **_filled_in(roles, options),
            "template": known.template
            if known and options.template == "auto"
            else options.template,
        }
    )
    frame = frame.drop(roles.dropped)
    statements = [start, *roles.statements, *_say_rare(frame, options)]
    metric = known.metric if known is not None and known.task in (None, roles.task) else None
    if held is not None:
        statements[0] = f"{options.train}: {len(held.stream.columns)} columns; {held.said}"
    stream = None if held is None else held.stream
    if held is not None and held.val is not None:
        val = held.val.drop(roles.dropped)
        return Tables(frame, val, options, tuple(statements), metric, stream=stream)
    if options.val is not None:
        val = read_table(options.val) if held is None else read_some(options, seed)
        require_columns(val, frame.columns, f"validation table {options.val}")
        statements.append(f"validation: {val.height} rows of {options.val}")
        val = val.select(frame.columns)
        return Tables(frame, val, options, tuple(statements), metric, stream=stream)
    train_rows, val_rows, said = split_table(frame, options, seed)
    return Tables(frame[train_rows], frame[val_rows], options, (*statements, said), metric)


def _filled_in(roles: Roles, options: DataSection) -> dict[str, Any]:
    """The options that were inferred."""
    return {
        "target": roles.target,
        "id_column": roles.id_column,
        "task": roles.task,
        # What is left out anyway need not be there to be dropped.
        "drop_columns": tuple(name for name in options.drop_columns if name not in roles.dropped),
    }


def _say_rare(frame: pl.DataFrame, options: DataSection) -> tuple[str, ...]:
    assert options.target is not None
    assert options.task is not None
    encoder = fit_targets(frame, options.target, options.task, options.class_order)
    labels = encode_targets(encoder, frame, split_target(options.target, frame.columns))
    said = say_imbalance(encoder, labels)
    return () if said is None else (said,)


def _prepare_windows(
    frame: pl.DataFrame, windows: Windows, options: DataSection, start: str
) -> Tables:
    if options.val is None:
        train, val, said = split_windows(frame, windows, options)
    else:
        train, val = windows.label(frame).frame, windows.label(read_table(options.val)).frame
        said = f"validation: {val.height} windows of {options.val}"
    options = options.model_copy(update={"target": ",".join(windows.targets), "task": "timeseries"})
    return Tables(train, val, options, (start, windows.describe(), said), windows=windows)
