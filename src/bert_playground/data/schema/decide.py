"""decide: what a table is, from what the user asks for, what is known of it and what its cells show; once per command."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import polars as pl

from bert_playground.config.datasets import load_datasets
from bert_playground.config.schema import DataSection
from bert_playground.data.columns.timestamps import find_time_column, infer_time_form
from bert_playground.data.core.schema import Schema
from bert_playground.data.reading.table import as_text, require_columns
from bert_playground.data.schema.columns_asked import (
    columns_in_use,
    refuse_conflicts,
    resolve_columns,
)
from bert_playground.data.schema.roles import infer_id_name, infer_roles
from bert_playground.data.targets.fit import split_target
from bert_playground.data.targets.windows import Windows


def decide(
    frame: pl.DataFrame,
    request: DataSection,
    test_columns: Sequence[str] | None = None,
    windows: Windows | None = None,
) -> Schema:
    """What a training table is: what the request gives is taken, the rest is known or inferred.

    Args:
        frame: the training table.
        request: what is None there is inferred.
        test_columns: of the table to predict, where it is known: what that lacks cannot be a feature.
        windows: how `frame` was cut from a table of series; see `plan_windows`.

    Raises:
        ValueError: columns that are named are not there, see `infer_roles`; or the registry of data sets is faulty.
    """
    frame = as_text(frame)
    request = resolve_columns(request, frame.columns)
    if windows is None and request.target is not None:
        refuse_conflicts(request, split_target(request.target, frame.columns))
    derived = request.template_options.get("derive") or ()
    named = (*request.unread_columns, *request.text_columns, *request.kinds)
    require_columns(frame, [name for name in named if name not in derived], "the training table")
    roles = infer_roles(
        frame.drop(request.weight_column or (), strict=False),
        target=request.target if windows is None else ",".join(windows.targets),
        id_column=request.id_column,
        task=request.task if windows is None else "timeseries",
        test_columns=test_columns,
        datasets=load_datasets(request.registry),
        excluded=columns_in_use(request),
    )
    if windows is None:
        refuse_conflicts(request, roles.targets)  # one that is inferred by the registry
    known = roles.known
    is_inferred = request.target is None or request.task is None
    return Schema(
        roles.target,
        roles.targets,
        roles.task,
        roles.id_column,
        roles.dropped,
        request.class_order,
        weight_column=request.weight_column,
        template=known.template if known and request.template == "auto" else request.template,
        metric=known.metric if known and known.task in (None, roles.task) else None,
        windows=windows,
        notes=roles.statements if windows is None else (windows.describe(),),
        inferred=roles.statements[0] if is_inferred and windows is None else "",
    )


def decide_if_possible(
    frame: pl.DataFrame, request: DataSection, test_columns: Sequence[str] | None = None
) -> tuple[Schema, str | None]:
    """As `decide`; a target that nobody named and that cannot be inferred is none, and comes with what is wrong.

    Raises:
        ValueError: what the request itself gives is wrong.
    """
    try:
        return decide(frame, request, test_columns), None
    except ValueError as error:
        request = resolve_columns(request, frame.columns)
        if request.target is not None:
            raise
        load_datasets(request.registry)  # raises where that is what is wrong
        named = [name for name in columns_in_use(request) if name not in frame.columns]
        if named:
            raise
        id_column = request.id_column
        if id_column is None:
            id_column = infer_id_name(frame)
        elif id_column not in frame.columns:
            id_column = None
        schema = Schema("", (), "", id_column, notes=("target: none can be inferred",))
        return schema, str(error)


@contextmanager
def inference_named(schema: Schema) -> Iterator[None]:
    """Where target or task were inferred, errors inside the block say so: that may be their cause.

    Raises:
        ValueError: of the block.
    """
    try:
        yield
    except ValueError as error:
        if not schema.inferred or schema.inferred in str(error):
            raise
        raise ValueError(f"{error}. What was inferred: {schema.inferred}") from error


def plan_windows(frame: pl.DataFrame, request: DataSection) -> Windows | None:
    """How a table of series is cut into windows; None where the request has no horizon.

    Raises:
        ValueError: no target, no time column, or settings that windows cannot follow.
    """
    horizon = request.horizon
    if horizon is None:
        if request.series_column is not None:
            raise ValueError(
                "data.series_column belongs to windows; say how far to look ahead with data.horizon"
            )
        return None
    request = resolve_columns(request, frame.columns)
    wrong = []
    if request.target is None:
        wrong.append("no target: name the column whose next values are wanted with --target")
    if request.task not in (None, "timeseries"):
        wrong.append(f"task {request.task}: windows are of task timeseries")
    if request.weight_column is not None:
        wrong.append("data.weight_column: rows become windows, which have no weight of their own")
    if request.split not in ("auto", "time") or request.group_column or request.folds:
        wrong.append(
            "another split than by time: it would look ahead; leave data.split, group_column and folds out"
        )
    if wrong or request.target is None:
        raise ValueError(f"windows with a horizon of {horizon} do not work with {'; '.join(wrong)}")
    time_column = request.time_column or find_time_column(frame)
    require_columns(frame, [time_column, request.target], "the training table")
    refuse_conflicts(request, (request.target,))
    return Windows(
        value=request.target,
        time_column=time_column,
        series_column=request.series_column,
        lags=request.lags,
        horizon=horizon,
        time_form=infer_time_form(frame[time_column]),
    )
