"""fit_columns: what of a table's columns reaches the text: parts of codes and other derived columns, then features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.columns.code_parts import SLUG
from bert_playground.data.columns.combinations import propose_columns, reaches
from bert_playground.data.columns.derived_columns import (
    DerivedColumn,
    add_derived,
    of_training_rows,
)
from bert_playground.data.columns.fit_derived import (
    NOTHING,
    REPEATED,
    Derivation,
    describe_kept,
    fit_parts,
    repeated_share,
)
from bert_playground.data.columns.kinds import Kind, clean, infer_kind, infer_kinds
from bert_playground.data.columns.timestamps import ISO, read_times
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.fit_features import fit_features
from bert_playground.data.templates.options import TextOptions

SEVERAL_WORDS = 1.5  # of a cell, on average: such columns are read word by word
MANY_COLUMNS = 200  # so many are not looked at
SCORED = ("number", "date", "category", "ordinal", "boolean")
MAX_SCORED = 60  # values of a category that are told apart where columns are tested

# Base columns, which are categories, proposed columns, what these say of a new group → numbers of those to keep.
Choose = Callable[[np.ndarray, np.ndarray, np.ndarray, Sequence[float | None]], list[int]]


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
    choose: Choose | None = None,
    inferred: Mapping[str, Kind] | None = None,
) -> FittedColumns:
    """Learn from training rows what is derived and what of each column is kept.

    Args:
        frame: the training rows, all cells as text.
        options: of the user.
        skip: columns that are no features: the target, and what the table to predict lacks.
        id_column: no feature either, unless it is a date.
        is_pretrained: rows are written for a checkpoint, in word pieces: codes have their parts only where these replace
            what the column would be reduced to, as each further column makes rows longer.
        choose: tells which of the columns that rules propose (groups, sums, …) are worth it; None: none is. See
            `find_gains`.
        inferred: the kinds of all columns, where they are known; see `infer_all`.

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
        inferred=inferred,
    )
    if options.derive == "off" or len(kinds) > MANY_COLUMNS:
        features, said = fit_features(frame, kinds)
        return FittedColumns(frame, features, (), said)
    named = (*options.kinds, *options.text_columns)
    derivation = _derive(
        frame, {name: kind for name, kind in kinds.items() if name not in named}, is_pretrained
    )
    frame = add_derived(frame, derivation.columns)
    found = kinds | {column.name: infer_kind(frame[column.name]) for column in derivation.columns}
    kept: tuple[DerivedColumn, ...] = ()
    if choose is not None:
        kept = _find_supported(
            frame, found, derivation.columns, id_column, choose, options.test_rows
        )
        frame = add_derived(frame, of_training_rows(kept))
    kinds = {
        name: _keep_words(frame[name], kind)
        for name, kind in found.items()
        if name not in derivation.replaced
    }
    kinds |= {column.name: infer_kind(frame[column.name]) for column in kept}
    features, said = fit_features(frame, kinds)
    read = {feature.column for feature in features}
    known = read.union(*(each.sources for each in derivation.columns if each.name in read))
    # What a cell lacks is said once, by the columns that others are computed of.
    quiet = {each.name for each in kept if known >= {*each.sources}}.union(derivation.quiet)
    features = tuple(
        replace(each, says_missing=False) if each.column in quiet else each for each in features
    )
    derived = tuple(each for each in (*derivation.columns, *kept) if each.name in read)
    told = tuple(describe_kept(column) for column in kept)
    return FittedColumns(frame, features, derived, (*said, *derivation.statements, *told))


def _find_supported(
    frame: pl.DataFrame,
    kinds: Mapping[str, Kind],
    parts: Sequence[DerivedColumn],
    id_column: str | None,
    choose: Choose,
    test_rows: pl.DataFrame | None,
) -> tuple[DerivedColumn, ...]:
    """The columns that the target speaks for.

    Args:
        frame: the training rows, with the parts of codes.
        kinds: of all columns that are read.
        parts: of codes, of which no further column is made.
        id_column: may hold groups.
        choose: see `fit_columns`.
        test_rows: groups that do not reach into the table to predict have no size there; None: a size must do no harm
            where no group is known.
    """
    own = {name: kind for name, kind in kinds.items() if name not in {part.name for part in parts}}
    proposed = propose_columns(frame, own, id_column)
    if test_rows is not None:
        proposed = tuple(each for each in proposed if reaches(each, test_rows))
    if not proposed:
        return ()
    base = [(name, kind) for name, kind in kinds.items() if kind.name in SCORED]
    cells = frame.select(each.cell() for each in of_training_rows(proposed))
    numbers = cells.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    is_known = test_rows is not None
    unseen = [None if is_known or each.kind != "group size" else 1.0 for each in proposed]
    known = [_as_numbers(frame[name], kind) for name, kind in base]
    is_category = np.array([kind.name not in ("number", "date") for _, kind in base])
    places = choose(np.stack(known, axis=1), is_category, numbers, unseen) if known else []
    return tuple(proposed[place] for place in places)


def _as_numbers(column: pl.Series, kind: Kind) -> np.ndarray:
    """[R] numbers and times; of a category the rank by frequency, the rarest together."""
    if kind.name in ("number", "date"):
        numbers = read_times(column, kind.spelling or (ISO if kind.name == "date" else ""))
        finite: np.ndarray = np.clip(numbers.fill_null(float("nan")).to_numpy(), -1e30, 1e30)
        return finite
    cells = clean(column).alias("value")
    counts = cells.drop_nulls().value_counts(sort=True)["value"][:MAX_SCORED]
    places = cells.replace_strict(counts, np.arange(len(counts)), default=MAX_SCORED)
    return places.cast(pl.Float64).set(cells.is_null(), float("nan")).to_numpy()


def _derive(frame: pl.DataFrame, kinds: Mapping[str, Kind], is_pretrained: bool) -> Derivation:
    is_text_alone = [kind.name for kind in kinds.values() if kind.name != "nothing"] == ["text"]
    return NOTHING if is_text_alone else fit_parts(frame, kinds, only_replacing=is_pretrained)


def _keep_words(column: pl.Series, kind: Kind) -> Kind:
    """Strings that are nearly unique are read word by word where they have several; what repeats is a category."""
    if kind.name not in ("words", "code"):
        return kind
    values = clean(column).drop_nulls()
    has_words = values.str.count_matches(r"\S+").sum() >= SEVERAL_WORDS * len(values)
    has_words |= values.str.contains(SLUG).sum() >= len(values) / 2
    repeats = repeated_share(values) >= REPEATED
    if kind.name == "code":
        return replace(kind, name="category" if repeats else "text" if has_words else "code")
    return replace(kind, name="text" if has_words else "category" if repeats else "words")
