"""fit_columns: what of a table's columns reaches the text: parts of codes and other derived columns, then features."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from bert_playground.data.columns.derived_columns import DerivedColumn, add_derived
from bert_playground.data.columns.fit_derived import NOTHING, Derivation, fit_parts
from bert_playground.data.columns.kinds import Kind, clean, infer_kind, infer_kinds
from bert_playground.data.templates.features import Feature, fit_features
from bert_playground.data.templates.options import TextOptions

SEVERAL_WORDS = 1.5  # of a cell, on average: such columns are read word by word
REPEATED = 0.2  # of the rows share their value with two others: such columns are categories
MIN_ROWS = 3
MANY_COLUMNS = 200  # so many are not looked at


class FittedColumns(NamedTuple):
    """What becomes of columns.

    Attributes:
        frame: the training rows with the derived columns.
        features: the pieces of a row's text.
        derived: the columns that they need beside those of the table.
        statements: what was decided, in sentences.
    """

    frame: pl.DataFrame
    features: tuple[Feature, ...]
    derived: tuple[DerivedColumn, ...]
    statements: tuple[str, ...]


def fit_columns(
    frame: pl.DataFrame,
    options: TextOptions,
    *,
    skip: Sequence[str],
    id_column: str | None,
    is_pretrained: bool = False,
) -> FittedColumns:
    """Learn from training rows what is derived and what of each column is kept.

    Args:
        frame: the training rows, all cells as text.
        options: of the user.
        skip: columns that are no features: the target, and what the table to predict lacks.
        id_column: no feature either, unless it is a date.
        is_pretrained: rows are written for a checkpoint, in word pieces: codes have their parts only where these replace
            what the column would be reduced to, as each further column makes rows longer.

    Raises:
        ValueError: no column is left, or a kind is given of one that is no feature.
    """
    dropped = options.drop_columns
    kinds = infer_kinds(
        frame,
        skip=(*skip, *dropped),
        text_columns=[name for name in options.text_columns if name not in dropped],
        id_column=id_column,
        given_kinds={name: kind for name, kind in options.kinds.items() if name not in dropped},
    )
    if options.derive == "off" or len(kinds) > MANY_COLUMNS:
        features, said = fit_features(frame, kinds)
        return FittedColumns(frame, features, (), said)
    named = (*options.kinds, *options.text_columns)
    derivation = _derive(
        frame, {name: kind for name, kind in kinds.items() if name not in named}, is_pretrained
    )
    frame = add_derived(frame, derivation.columns)
    kept = {name: kind for name, kind in kinds.items() if name not in derivation.replaced}
    kinds = {name: _keep_words(frame[name], kind) for name, kind in kept.items()}
    kinds |= {column.name: infer_kind(frame[column.name]) for column in derivation.columns}
    features, said = fit_features(frame, kinds)
    features = tuple(
        replace(each, says_missing=False) if each.column in derivation.quiet else each
        for each in features
    )
    read = {feature.column for feature in features}
    derived = tuple(column for column in derivation.columns if column.name in read)
    return FittedColumns(frame, features, derived, (*said, *derivation.statements))


def _derive(frame: pl.DataFrame, kinds: Mapping[str, Kind], is_pretrained: bool) -> Derivation:
    is_text_alone = [kind.name for kind in kinds.values() if kind.name != "nothing"] == ["text"]
    return NOTHING if is_text_alone else fit_parts(frame, kinds, only_replacing=is_pretrained)


def _keep_words(column: pl.Series, kind: Kind) -> Kind:
    """Strings that are nearly unique are read word by word where they have several; what repeats is a category."""
    if kind.name != "words":
        return kind
    values = clean(column).drop_nulls()
    if values.str.count_matches(r"\S+").sum() >= SEVERAL_WORDS * len(values):
        return replace(kind, name="text")
    counts = values.value_counts(name="rows")["rows"]
    repeated = int(counts.filter(counts >= MIN_ROWS).sum())
    return replace(kind, name="category") if repeated >= REPEATED * len(values) else kind
