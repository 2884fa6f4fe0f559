"""derive_columns: the columns that a template's SQL and the training rows derive; source_columns: those they are made of."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from bert_playground.data.columns.derived_columns import DerivedColumn, add_derived
from bert_playground.data.reading.table import as_text
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.sql_expression import (
    MAX_CELL,
    SQL_ERRORS,
    first_line,
    read_expression,
)
from bert_playground.data.templates.templates import Template

MAX_COLUMNS = 1000
PROBES = (1, 8, 64)  # rows, so that cells that grow are seen before all of them do


def derive_columns(
    frame: pl.DataFrame, template: Template, derived: Sequence[DerivedColumn] = ()
) -> pl.DataFrame:
    """Add the columns that the template derives, and those that were learned, as text.

    Raises:
        ValueError: an expression is no SQL, or names columns that the table lacks; there are too many.
    """
    if len(template.derive) > MAX_COLUMNS:
        raise ValueError(
            f"{len(template.derive):,} columns are derived by SQL, expected at most {MAX_COLUMNS:,}"
        )
    for name, sql in template.derive.items():
        try:
            expression = read_expression(sql).alias(name)
            for rows in PROBES:
                _require_short(frame.head(rows).with_columns(expression)[name])
            frame = frame.with_columns(expression)
            _require_short(frame[name])
            if frame[name].dtype.is_temporal():
                as_text(frame.select(name))  # fails on dates beyond the calendar
        except SQL_ERRORS as error:
            raise ValueError(
                f"column {name!r} cannot be derived by {sql[:200]!r}: {first_line(error)}"
            ) from error
    frame = as_text(frame) if template.derive else frame
    return add_derived(frame, derived)


def _require_short(column: pl.Series) -> None:
    if column.dtype.is_nested():
        raise ValueError(f"cells are of type {column.dtype}, expected text or numbers")
    longest = (
        int(column.str.len_chars().fill_null(0).to_numpy().max(initial=0))
        if column.dtype == pl.String
        else 0
    )
    if longest > MAX_CELL:
        raise ValueError(f"a cell has {longest:,} letters, expected at most {MAX_CELL:,}")


def source_columns(
    features: Sequence[Feature], template: Template, derived: Sequence[DerivedColumn] = ()
) -> list[str]:
    """The columns of the table that features and derived columns are made of, in the order of their first use."""
    learned = {column.name: column for column in derived}
    used = [
        source
        for feature in features
        for source in (
            learned[feature.column].sources if feature.column in learned else (feature.column,)
        )
    ]
    names = _trace(used, template)
    return [name for name in names if name not in template.derive or name in names[name]]


def keep_derived(
    template: Template,
    features: Sequence[Feature],
    untold: Sequence[str],
    derived: Sequence[DerivedColumn] = (),
) -> Template:
    """The same template with those derivations alone that features need.

    Args:
        template: of the text.
        features: fitted.
        untold: columns that must not enter the text, such as the target.
        derived: learned columns, which may be computed of the template's.

    Raises:
        ValueError: a feature is derived from one of these.
    """
    learned = {column.name: column.sources for column in derived}
    sources = [name for each in features for name in learned.get(each.column, (each.column,))]
    needed = _trace(sources, template)
    if told := sorted({*needed} & {*untold}):
        raise ValueError(
            f"data.template_options derives columns from {', '.join(told)}, which must not be read: the target, or a "
            "column that is left out; derive from other columns"
        )
    kept = {name: sql for name, sql in template.derive.items() if name in needed}
    return replace(template, derive=kept)


def _trace(columns: Sequence[str], template: Template) -> dict[str, tuple[str, ...]]:
    """Columns and all that they are derived from, in the order of their first use, each with those that it is computed of."""
    found: dict[str, tuple[str, ...]] = {}
    left = [*reversed(columns)]
    while left:
        column = left.pop()
        if column in found:
            continue
        sql = template.derive.get(column)
        found[column] = tuple(read_expression(sql).meta.root_names()) if sql is not None else ()
        left += reversed(found[column])
    return found
