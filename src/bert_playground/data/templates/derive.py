"""derive_columns: the columns that a template's SQL and the training rows derive; source_columns: those they are made of."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from bert_playground.data.columns.derived_columns import DerivedColumn, add_derived
from bert_playground.data.reading.table import as_text
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.sql_expression import MAX_CELL, read_expression
from bert_playground.data.templates.templates import Template

PROBE_ROWS = 64


def derive_columns(
    frame: pl.DataFrame, template: Template, derived: Sequence[DerivedColumn] = ()
) -> pl.DataFrame:
    """Add the columns that the template derives, and those that were learned, as text.

    Raises:
        ValueError: an expression is no SQL, or names columns that the table lacks.
    """
    for name, sql in template.derive.items():
        try:
            expression = read_expression(sql).alias(name)
            # A few rows first, so that cells that grow are seen before all of them do.
            _require_short(frame.head(PROBE_ROWS).with_columns(expression)[name])
            frame = frame.with_columns(expression)
            _require_short(frame[name])
        except (pl.exceptions.PolarsError, ValueError) as error:
            first_line = str(error).splitlines()[0]
            raise ValueError(
                f"column {name!r} cannot be derived by {sql[:200]!r}: {first_line}"
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
    names: dict[str, None] = {}
    for feature in features:
        for source in (
            learned[feature.column].sources if feature.column in learned else (feature.column,)
        ):
            names |= dict.fromkeys(_trace(source, template))
    return [name for name in names if name not in template.derive or _reads_itself(name, template)]


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
    needed = [name for source in sources for name in _trace(source, template)]
    if told := sorted({*needed} & {*untold}):
        raise ValueError(
            f"data.template_options derives columns from {', '.join(told)}, which must not be read: the target, or a "
            "column that is left out; derive from other columns"
        )
    kept = {name: sql for name, sql in template.derive.items() if name in needed}
    return replace(template, derive=kept)


def _trace(column: str, template: Template) -> list[str]:
    """A column, and all that it is derived from."""
    if column not in template.derive:
        return [column]
    roots = read_expression(template.derive[column]).meta.root_names()
    found = [column]
    for root in roots:
        found += [root] if root == column else _trace(root, template)
    return found


def _reads_itself(column: str, template: Template) -> bool:
    return column in read_expression(template.derive[column]).meta.root_names()
