"""TEMPLATES: a row → a sentence (key_value, sentence, natural, markdown, separated, cells, text, titanic, …)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.derived_columns import (
    DerivedColumn,
    add_derived,
    derive_cells,
)
from bert_playground.data.columns.dictionary_encoding import (
    DictionaryColumn,
    choose_cells,
    dictionary_encode_all,
    map_cells,
)
from bert_playground.data.templates.features import NUMBERS, Feature
from bert_playground.data.templates.jinja import check_jinja, render_jinja
from bert_playground.lookup import look_up, nearest

MISSING = ("said", "skipped")
PLACEHOLDERS = ("name", "value", "unit")


@dataclass(frozen=True)
class Template:
    """How the cells of a row become one text.

    Attributes:
        cell: the form of one cell, with {name}, {value} and, where a column has one, {unit}.
        joint: after every cell but the last.
        opening: before the first cell.
        closing: after the last cell.
        between: before every cell but the first; a blank or a new line, where tokenizers start a word.
        numbers: a name in NUMBERS: how numbers are written.
        binned: numbers are quantile bins, and every known cell is one token, such as "[age=q3]".
        separated: a [SEP] token stands between the cells.
        missing: "said", or "skipped": the cell is left out.
        phrases: column → its own form of a cell.
        units: column → the unit of its numbers, such as "year", or "foot|feet" for an odd plural.
        derive: new column → SQL expression over the table's columns (all text: CAST what is a number).
        is_pair: the row is two texts, which the model tells apart; see text_pair.py.
        jinja: a Jinja template of the whole row instead of all above; slow, for what the rest cannot say.
    """

    cell: str = "{name}: {value}"
    joint: str = ""
    opening: str = ""
    closing: str = ""
    between: str = " "
    numbers: str = "rounded"
    binned: bool = False
    separated: bool = False
    missing: str = "said"
    phrases: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    derive: Mapping[str, str] = field(default_factory=dict)
    is_pair: bool = False
    jinja: str = ""

    def __hash__(self) -> int:
        """Of some fields; mappings have no hash."""
        return hash((self.cell, self.joint, self.opening, self.numbers, self.missing))

    def __post_init__(self) -> None:
        look_up(dict.fromkeys(NUMBERS), self.numbers, "way to write numbers")
        look_up(dict.fromkeys(MISSING), self.missing, "way to write missing values")
        forms = (self.cell, *self.phrases.values())
        lacking = [form for form in forms if "{value}" not in form]
        if lacking:
            raise ValueError(f"a cell's form needs {{value}}, but this has none: {lacking[0]!r}")
        strange = sorted(
            {word for form in forms for word in re.findall(r"\{(\w*)\}", form)} - {*PLACEHOLDERS}
        )
        if strange:
            raise ValueError(
                f"a cell's form has {', '.join(f'{{{word}}}{nearest(word, PLACEHOLDERS)}' for word in strange)} "
                f"(known: {', '.join(f'{{{word}}}' for word in PLACEHOLDERS)})"
            )
        if self.jinja:
            check_jinja(self.jinja)

    def changed(self, options: Mapping[str, Any]) -> Self:
        """The same template with other values for some fields.

        Raises:
            ValueError: no such field, or an impossible value.
        """
        known = [each.name for each in fields(self)]
        unknown = [f"{name!r}{nearest(name, known)}" for name in options if name not in known]
        if unknown:
            raise ValueError(
                f"unknown template option {', '.join(unknown)} (known: {', '.join(known)})"
            )
        faults = [fault for name, value in options.items() if (fault := _find_fault(name, value))]
        if faults:
            raise ValueError(f"data.template_options: {'; '.join(faults)}")
        return replace(self, **options)

    def to_dict(self) -> dict[str, Any]:
        """What differs from a plain Template, ready for JSON."""
        plain = asdict(Template())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}


TEMPLATES = {
    "key_value": Template(joint=","),
    "sentence": Template("The {name} is {value}{unit}.", missing="skipped"),
    "natural": Template("the {name} is {value}{unit}", joint=",", missing="skipped"),
    "markdown": Template("- {name}: {value}{unit}", between="\n"),
    "separated": Template("{name}: {value}", separated=True),
    "cells": Template("{name} {value}", binned=True, numbers="bins"),
    "text": Template("{value}"),
    "titanic": Template(
        "{name} {value}",
        joint=",",
        opening="Passenger:",
        derive={"Family": "CAST(SibSp AS INT) + CAST(Parch AS INT) + 1"},
        phrases={
            "Pclass": "class {value}",
            "Name": "{value}",
            "Sex": "{value}",
            "Age": "aged {value}{unit}",
            "Family": "family of {value} aboard",
            "SibSp": "{value}{unit}",
            "Parch": "{value}{unit}",
            "Fare": "paid {value} pounds",
            "Cabin": "deck {value}",
            "Embarked": "boarded at {value}",
        },
        units={
            "Age": "year",
            "SibSp": "sibling or spouse|siblings or spouses",
            "Parch": "parent or child|parents or children",
        },
    ),
    "house-prices": Template(
        joint=",",
        opening="House:",
        derive={
            "TotalSF": 'CAST(TotalBsmtSF AS DOUBLE) + CAST("1stFlrSF" AS DOUBLE) + CAST("2ndFlrSF" AS DOUBLE)',
            "AgeWhenSold": "CAST(YrSold AS INT) - CAST(YearBuilt AS INT)",
        },
        phrases={
            "TotalSF": "{value} square feet in all",
            "AgeWhenSold": "{value} years old when sold",
        },
    ),
    "nlp-disaster": Template(
        "{value}",
        joint=" |",
        missing="skipped",
        derive={"keyword": "REPLACE(keyword, '%20', ' ')"},
        phrases={"keyword": "keyword {value}", "location": "from {value}"},
    ),
}


def choose_template(name: str, features: Sequence[Feature], *, is_pretrained: bool) -> str:
    """Resolve "auto": free text stands alone; a table is cells for a new vocabulary, key: value for a trained one.

    Raises:
        ValueError: no such template.
    """
    if name != "auto":
        look_up({**TEMPLATES, "auto": None}, name, "template")
        return name
    if all(feature.form == "text" for feature in features) and len(features) == 1:
        return "text"
    return "key_value" if is_pretrained else "cells"


def _find_fault(name: str, value: object) -> str | None:
    """What is wrong with the type of a template option."""
    default = getattr(Template(), name)
    if isinstance(default, Mapping):
        is_fit = isinstance(value, Mapping) and all(
            isinstance(word, str) for pair in value.items() for word in pair
        )
        expected = "words under column names, such as {Age: year}"
    else:
        is_fit = isinstance(value, type(default))
        expected = "true or false" if isinstance(default, bool) else "text"
    return None if is_fit else f"{name} is {value!r}, expected {expected}"


def render_cells(
    frame: pl.DataFrame,
    features: Sequence[Feature],
    template: Template,
    derived: Sequence[DerivedColumn] = (),
) -> list[DictionaryColumn]:
    """The pieces of each row's text, one column per feature; joined without anything between they are the text.

    Every piece but the first starts with a blank, where each tokenizer family starts a new word.

    Args:
        frame: with the columns of the features, or the sources of those that are derived, all cells as text.
        features: in the order of the text.
        template: how a cell is written.
        derived: columns that are still to be computed.
    """
    if template.jinja:
        return [render_jinja(add_derived(frame, derived), features, template.jinja)]
    steps = _write_steps(tuple(features), template)
    return _name(_map_features(frame, features, steps, derived), features)


def render_places(
    frame: pl.DataFrame,
    features: Sequence[Feature],
    template: Template,
    places: np.ndarray,
    derived: Sequence[DerivedColumn] = (),
) -> list[DictionaryColumn]:
    """The pieces of each row's text as in `render_cells`, each written as its place in its row wants.

    Args:
        frame: see `render_cells`.
        features: two or more.
        template: how a cell is written; no Jinja template, which makes one piece.
        places: [features, R] where each piece stands in its row, from 0 on.
        derived: see `render_cells`.
    """
    ends = ((True, False), (False, False), (False, True))  # the first piece, one between, the last
    values = _map_features(frame, features, _write_steps(tuple(features), template)[:2], derived)
    forms = [
        _render_piece(feature, template, str(i), is_first=is_first, is_last=is_last)
        for i, feature in enumerate(features)
        for is_first, is_last in ends
    ]
    forms = [form.alias(str(i)) for i, form in enumerate(forms)]
    pieces = map_cells([each for each in values for _ in ends], forms)
    last = len(features) - 1
    chosen = [
        choose_cells(pieces[3 * i : 3 * i + 3], np.where(place == 0, 0, 1 + (place == last)))
        for i, place in enumerate(places)
    ]
    return _name(chosen, features)


def known_cells(features: Sequence[Feature], template: Template) -> list[str]:
    """The cells that are one token each: those of the training rows, where the template is binned."""
    if not template.binned:
        return []
    cells: list[str] = []
    for feature in features:
        if not feature.is_text:
            rest = ("missing", "other") if feature.says_missing else ("other",)
            values = [*feature.known, *(value for value in rest if value not in feature.known)]
            cells.extend(f"[{feature.label}={value}]" for value in values)
    return cells


@lru_cache(maxsize=16)
def _write_steps(
    features: tuple[Feature, ...], template: Template
) -> tuple[tuple[pl.Expr, ...], ...]:
    """How pieces are computed from the columns: what is read, what that says, and the words around it.

    Each step names its columns by number, and the next one reads them. Small tables are read in less time than it
    takes to write these expressions, so they are kept.
    """
    numbered = [(str(i), feature) for i, feature in enumerate(features)]
    first, last = numbered[0][0], numbered[-1][0]
    return (
        tuple(feature.read().alias(number) for number, feature in numbered),
        tuple(
            feature.say(pl.col(number), numbers=template.numbers).alias(number)
            for number, feature in numbered
        ),
        tuple(
            _render_piece(
                feature, template, number, is_first=number == first, is_last=number == last
            )
            for number, feature in numbered
        ),
    )


def _map_features(
    frame: pl.DataFrame,
    features: Sequence[Feature],
    steps: Sequence[Sequence[pl.Expr]],
    derived: Sequence[DerivedColumn],
) -> list[DictionaryColumn]:
    """What the steps make of each feature's column; see `_write_steps`."""
    frame = add_derived(frame, [each for each in derived if len(each.sources) > 1])
    of_one = [each for each in derived if len(each.sources) == 1]
    sources = {each.name: each.sources[0] for each in of_one}
    names = list(dict.fromkeys(sources.get(each.column, each.column) for each in features))
    columns = dict(zip(names, dictionary_encode_all([frame[name] for name in names]), strict=True))
    read = {feature.column for feature in features}
    columns |= derive_cells(columns, [each for each in of_one if each.name in read])
    return map_cells([columns[feature.column] for feature in features], *steps)


def _name(
    pieces: Sequence[DictionaryColumn], features: Sequence[Feature]
) -> list[DictionaryColumn]:
    """The pieces, called as the features are."""
    pairs = zip(pieces, features, strict=True)
    return [piece._replace(values=piece.values.rename(feature.label)) for piece, feature in pairs]


def _render_piece(
    feature: Feature, template: Template, value: str, *, is_first: bool, is_last: bool
) -> pl.Expr:
    """The piece of a row's text that a feature is; what it says stands in the column named `value`."""
    opening = template.opening + (" " if template.opening and is_first else "")
    closing = template.closing if is_last else ""
    before = opening if is_first else template.between
    after = template.closing if is_last else template.joint
    piece = _render_cell(feature, template, pl.col(value), before, after)
    if template.missing == "skipped" or not feature.says_missing:
        bare = pl.lit((opening if is_first else "") + closing)
        piece = pl.when(pl.col(value) == "missing").then(bare).otherwise(piece)
    return piece.alias(value)


def _render_cell(
    feature: Feature, template: Template, value: pl.Expr, before: str, after: str
) -> pl.Expr:
    form = template.phrases.get(feature.column, template.cell).replace("{name}", feature.label)
    start, end = form.split("{value}", 1)
    words = pl.concat_str(
        pl.lit(before + start), value, *_with_unit(end, value, feature, template, after)
    )
    if not template.binned or feature.is_text:
        return words
    known = pl.lit(pl.Series([*feature.known, "missing", "other"])).implode()
    token = pl.concat_str(pl.lit(f"{before}[{feature.label}="), value, pl.lit(f"]{after}"))
    return pl.when(value.is_in(known)).then(token).otherwise(words)


def _with_unit(
    form: str, value: pl.Expr, feature: Feature, template: Template, after: str
) -> list[pl.Expr]:
    """What follows the value; a unit is singular after exactly one."""
    unit = template.units.get(feature.column)
    if unit is None or feature.form != "number":
        return [pl.lit(form.replace("{unit}", "") + after)]
    one, _, many = unit.partition("|")
    word = pl.when(value == "1").then(pl.lit(f" {one}")).otherwise(pl.lit(f" {many or one + 's'}"))
    start, found, end = form.partition("{unit}")
    if not found:
        start, end = "", form
    return [
        pl.lit(start),
        pl.when(value != "missing").then(word).otherwise(pl.lit("")),
        pl.lit(end + after),
    ]
