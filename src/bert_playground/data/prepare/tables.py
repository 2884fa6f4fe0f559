"""prepare: read the tables, decide what they are, split validation rows off; once for all models that are fitted on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.reading.table import read_table, require_columns
from bert_playground.data.reading.table_stream import TableStream
from bert_playground.data.schema import Schema
from bert_playground.data.schema.columns_asked import resolve_columns
from bert_playground.data.schema.decide import decide, inference_named, plan_windows
from bert_playground.data.schema.derived_gain import judge_by_target
from bert_playground.data.schema.roles import read_test_columns, read_test_table
from bert_playground.data.schema.sampling import read_some, sample_stream, wants_stream
from bert_playground.data.splits.folds import read_folds, rows_of_fold, write_folds
from bert_playground.data.splits.overlap import warn_of_training_rows
from bert_playground.data.splits.strategy import (
    SplitOptions,
    make_folds,
    split_table,
    split_windows,
)
from bert_playground.data.targets.fit import encode_targets, fit_targets
from bert_playground.data.targets.imbalance import describe_imbalance
from bert_playground.data.targets.windows import Windows
from bert_playground.data.templates.fit_numbers import fit_numbers
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import RowText, fit_row_text
from bert_playground.lookup import count_of


@dataclass(frozen=True)
class Prepared:
    """Tables that are read, decided upon and split; any number of models is fitted on them.

    Attributes:
        schema: what the table is.
        text: how its rows shall become text.
        train: the training rows, all cells as text; of a streamed table a sample.
        val: the validation rows.
        notes: what was decided, in sentences.
        stream: all training rows, where `train` is but a sample.
        table: training and validation rows together, where the one table has both; None: windows, a stream, or two tables.
        folds: the file of folds that the split follows, or None.
    """

    schema: Schema
    text: TextOptions
    train: pl.DataFrame
    val: pl.DataFrame
    notes: tuple[str, ...]
    stream: TableStream | None = None
    table: pl.DataFrame | None = None
    folds: Path | None = None

    def of_fold(self, fold: int) -> "Prepared":
        """The same table, validated on another fold of its file: nothing is read or decided again.

        Raises:
            ValueError: the table was not split by a file of folds, or the fold has no rows.
        """
        if self.table is None or self.folds is None:
            raise ValueError(
                f"fold {fold} was asked for, but the table was not split by folds; write a file with `bert data folds` "
                "and name it in data.folds"
            )
        train, val, note = _rows_of_fold(self.table, self.folds, fold)
        notes = (*self.notes[:-1], note)
        return replace(self, train=self.table[train], val=self.table[val], notes=notes)


def prepare(config: RunConfig, *, is_whole: bool = False) -> Prepared:
    """Read the tables, decide target, id and task, and split validation rows off where none are given.

    Args:
        config: of the run.
        is_whole: leave the rows of one table together, as folds will divide them; windows of series are divided anyway.

    Raises:
        FileNotFoundError: a table is not there.
        ValueError: a table is faulty, or its labels are; see `read_table` and `infer_roles`.
    """
    request, seed = config.data, config.split_seed
    path = request.train
    if path is None:
        raise ValueError("no training table; give one with --train data/titanic/train.csv")
    held = sample_stream(request, seed) if wants_stream(request) else None
    frame = read_table(path) if held is None else held.sample
    request = resolve_columns(request, frame.columns)
    start = f"{path}: {_size_of(frame)}"
    if held is not None:
        start = f"{path}: {len(held.stream.columns)} columns; {held.message}"
    windows = plan_windows(frame, request)
    if windows is not None:
        return _prepare_windows(frame, windows, request, start)
    test_rows = read_test_table(path, frame.columns)
    test_columns = (
        read_test_columns(path, frame.columns) if test_rows is None else test_rows.columns
    )
    schema = decide(frame, request, test_columns)
    frame = frame.drop(schema.dropped)
    with inference_named(schema):
        notes = (start, *schema.notes, *_describe_rare(frame, schema))
    options = choose_text_options(request, schema.template, schema.dropped)
    prepared = Prepared(
        schema,
        replace(options, test_rows=test_rows),
        frame,
        frame,
        notes,
        stream=None if held is None else held.stream,
    )
    if is_whole:
        return replace(prepared, table=frame)
    if held is not None and held.val is not None:
        return replace(prepared, val=held.val.drop(schema.dropped))
    if request.val is not None:
        val = read_table(request.val) if held is None else read_some(request, seed)
        warn_of_training_rows(path, request.val, frame, val)
        val = _with_columns_of(frame, val, schema, request)
        note = f"validation: {count_of(val.height, 'row')} of {request.val}"
        return replace(prepared, val=val, notes=(*prepared.notes, note))
    with inference_named(schema):
        return _split(prepared, request, seed)


def _size_of(frame: pl.DataFrame) -> str:
    return f"{count_of(frame.height, 'row')}, {count_of(frame.width, 'column')}"


def _with_columns_of(
    frame: pl.DataFrame, val: pl.DataFrame, schema: Schema, request: DataSection
) -> pl.DataFrame:
    """The validation rows with the columns of the training rows; what is never read may be missing there.

    Raises:
        ValueError: others are.
    """
    unread = {schema.id_column, *request.unread_columns, request.group_column, request.time_column}
    lacking = [name for name in frame.columns if name not in val.columns]
    optional = [name for name in lacking if name in unread]
    needed = [name for name in frame.columns if name not in optional]
    require_columns(val, needed, f"validation table {request.val}")
    val = val.with_columns(pl.lit(None, pl.String).alias(name) for name in optional)
    return val.select(frame.columns)


def prepare_frames(
    frame: pl.DataFrame, val: pl.DataFrame | None, request: DataSection, seed: int
) -> Prepared:
    """`prepare` for rows that a program holds.

    Args:
        frame: the training rows, all cells as text.
        val: the validation rows; None: split off as the request says.
        request: of the user; tables that it names are not read.
        seed: draws the validation rows.

    Raises:
        ValueError: the rows are faulty, or their labels are; see `infer_roles`.
    """
    start = f"training data: {_size_of(frame)}"
    request = resolve_columns(request, frame.columns)
    windows = plan_windows(frame, request)
    if windows is not None:
        return _prepare_windows(frame, windows, request, start, val)
    schema = decide(frame, request)
    frame = frame.drop(schema.dropped)
    prepared = Prepared(
        schema,
        choose_text_options(request, schema.template, schema.dropped),
        frame,
        frame,
        (start, *schema.notes, *_describe_rare(frame, schema)),
    )
    if val is None:
        return _split(prepared, request, seed)
    require_columns(val, frame.columns, "the validation data")
    note = f"validation: {count_of(val.height, 'row')} that were given"
    return replace(prepared, val=val.select(frame.columns), notes=(*prepared.notes, note))


def prepare_again(values: Mapping[str, Any]) -> Prepared:
    """`prepare` by the configuration that a run has stored.

    Raises:
        ValueError: the run was trained from no table, or see `prepare`.
    """
    return prepare(RunConfig.model_validate(values))


def fit_text(
    frame: pl.DataFrame,
    request: DataSection,
    *,
    pretrained_dir: Path | None = None,
    test_columns: Sequence[str] | None = None,
    test_rows: pl.DataFrame | None = None,
) -> tuple[RowText, pl.DataFrame]:
    """How training would read the rows of a table, and these rows: those of a series are windows.

    Args:
        frame: the table, all cells as text.
        request: of the user.
        pretrained_dir: see `TextPipeline.fit`.
        test_columns: see `decide`.
        test_rows: see `TextOptions`.
    """
    request = resolve_columns(request, frame.columns)
    windows = plan_windows(frame, request)
    if windows is not None:
        frame, test_columns = windows.label(frame).frame, None
    schema = decide(frame, request, test_columns, windows)
    options = replace(choose_text_options(request, schema.template), test_rows=test_rows)
    known: dict[str, Any] = {"skip": schema.left_out, "id_column": schema.id_column}
    known |= {"pretrained_dir": pretrained_dir}
    text = fit_row_text(frame, options, choose=judge_by_target(frame, schema), **known)
    numbers = fit_numbers(text.of_training_rows, frame, options, **known)
    return replace(numbers, derived=text.derived), frame


def choose_text_options(
    request: DataSection, template: str | None = None, dropped: Sequence[str] = ()
) -> TextOptions:
    """What a request says of the text.

    Args:
        request: of the user.
        template: that was decided; None: the one that is asked for.
        dropped: columns that are left out already, and need not be there to be dropped.
    """
    names = [field.name for field in fields(TextOptions) if hasattr(request, field.name)]
    options = TextOptions(**{name: getattr(request, name) for name in names})
    return replace(
        options,
        template=template or request.template,
        derive=request.derive if isinstance(request.derive, str) else "off",
        drop_columns=tuple(name for name in request.unread_columns if name not in dropped),
    )


def choose_split_options(request: DataSection) -> SplitOptions:
    """What a request says of the split."""
    names = [field.name for field in fields(SplitOptions)]
    options = SplitOptions(**{name: getattr(request, name) for name in names})
    return replace(options, drop_columns=request.unread_columns)


def write_table_folds(
    request: DataSection, num_folds: int, seed: int, path: Path
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read a table, assign its rows to folds, and write the file; returns what was written, and what was decided.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: there is none, or see `make_folds` and `write_folds`.
    """
    if request.train is None:
        raise ValueError("no table to assign to folds; give one")
    frame = read_table(request.train)
    schema = decide(frame, request, read_test_columns(request.train, frame.columns))
    request = resolve_columns(request, frame.columns)
    frame = frame.drop(schema.dropped)
    options = choose_split_options(request)
    with inference_named(schema):
        folds, in_time, message = make_folds(frame, schema, options, num_folds, seed)
    ids = None if schema.id_column is None else frame[schema.id_column]
    written = write_folds(path, folds, ids, in_time=in_time)
    return written, (*schema.notes, f"{num_folds} folds: {message}")


def _split(prepared: Prepared, request: DataSection, seed: int) -> Prepared:
    table = prepared.train
    if request.folds is not None:
        train, val, note = _rows_of_fold(table, request.folds, request.fold)
    else:
        train, val, note = split_table(table, prepared.schema, choose_split_options(request), seed)
    return replace(
        prepared,
        train=table[train],
        val=table[val],
        notes=(*prepared.notes, note),
        table=table,
        folds=request.folds,
    )


def _rows_of_fold(table: pl.DataFrame, path: Path, fold: int) -> tuple[np.ndarray, np.ndarray, str]:
    folds, in_time = read_folds(path, table)
    train, val = rows_of_fold(folds, fold, in_time=in_time)
    earlier = f" by {len(train)} rows of earlier ones" if in_time else ""
    note = f"validation: {len(val)} of {table.height} rows, fold {fold} of {path}{earlier}"
    return train, val, note


def _describe_rare(frame: pl.DataFrame, schema: Schema) -> Sequence[str]:
    encoder = fit_targets(frame, schema.target, schema.task, schema.class_order)
    message = describe_imbalance(encoder, encode_targets(encoder, frame, schema.targets))
    return () if message is None else (message,)


def _prepare_windows(
    frame: pl.DataFrame,
    windows: Windows,
    request: DataSection,
    start: str,
    given: pl.DataFrame | None = None,
) -> Prepared:
    if given is None and request.val is None:
        train, val, note = split_windows(frame, windows, request.val_fraction)
    else:
        if given is None:
            given = read_table(request.val)
            warn_of_training_rows(request.train, request.val)  # a series may begin with known rows
        train, val = windows.label(frame).frame, windows.label(given).frame
        note = f"validation: {val.height} windows of {request.val or 'the rows that were given'}"
    schema = decide(train, request, windows=windows)
    notes = (start, *schema.notes, note)
    return Prepared(schema, choose_text_options(request, schema.template), train, val, notes)
