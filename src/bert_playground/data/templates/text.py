"""TEMPLATES: a row → a sentence (key_value, sentence, natural, markdown, separated, cells, text, titanic, …)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import polars as pl

from bert_playground.data.core.coded import CodedColumn, code_column, map_cells
from bert_playground.data.core.features import NUMBERS, Feature
from bert_playground.data.core.table import as_text
from bert_playground.data.templates.jinja import check_jinja, render_jinja
from bert_playground.lookup import look_up, nearest

MISSING = ("said", "skipped")


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

    def __post_init__(self) -> None:
        look_up(dict.fromkeys(NUMBERS), self.numbers, "way to write numbers")
        look_up(dict.fromkeys(MISSING), self.missing, "way to write missing values")
        lacking = [form for form in (self.cell, *self.phrases.values()) if "{value}" not in form]
        if lacking:
            raise ValueError(f"a cell's form needs {{value}}, but this has none: {lacking[0]!r}")
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
            "Age": "{value} years old",
            "Family": "family of {value} aboard",
            "SibSp": "{value} siblings or spouses",
            "Parch": "{value} parents or children",
            "Fare": "paid {value} pounds",
            "Cabin": "deck {value}",
            "Embarked": "boarded at {value}",
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


def derive_columns(frame: pl.DataFrame, template: Template) -> pl.DataFrame:
    """Add the columns that the template derives, as text.

    Raises:
        ValueError: an expression is no SQL, or names columns that the table lacks.
    """
    for name, sql in template.derive.items():
        try:
            frame = frame.with_columns(pl.sql_expr(sql).alias(name))
        except pl.exceptions.PolarsError as error:
            first_line = str(error).splitlines()[0]
            raise ValueError(
                f"column {name!r} cannot be derived by {sql!r}: {first_line}"
            ) from error
    return as_text(frame) if template.derive else frame


def source_columns(features: Sequence[Feature], template: Template) -> list[str]:
    """The columns of the table that features and derived columns are made of, in the order of their first use."""
    names: dict[str, None] = {}
    for column in (feature.column for feature in features):
        if column in template.derive:
            names |= dict.fromkeys(pl.sql_expr(template.derive[column]).meta.root_names())
        else:
            names[column] = None
    return list(names)


def render_cells(
    frame: pl.DataFrame, features: Sequence[Feature], template: Template
) -> list[CodedColumn]:
    """The pieces of each row's text, one column per feature; joined without anything between they are the text.

    Every piece but the first starts with a blank, where each tokenizer family starts a new word.

    Args:
        frame: with the columns of the features, all cells as text.
        features: in the order of the text.
        template: how a cell is written.
    """
    if template.jinja:
        return [render_jinja(frame, features, template.jinja)]
    columns = {name: code_column(frame[name]) for name in {feature.column for feature in features}}
    pieces = [
        _render_piece(feature, template, is_first=i == 0, is_last=i == len(features) - 1)
        for i, feature in enumerate(features)
    ]
    return map_cells([columns[feature.column] for feature in features], pieces)


def known_cells(features: Sequence[Feature], template: Template) -> list[str]:
    """The cells that are one token each: those of the training rows, where the template is binned."""
    if not template.binned:
        return []
    cells: list[str] = []
    for feature in features:
        if not feature.is_text:
            values = [*feature.known, *(v for v in ("missing", "other") if v not in feature.known)]
            cells.extend(f"[{feature.label}={value}]" for value in values)
    return cells


def _render_piece(
    feature: Feature, template: Template, *, is_first: bool, is_last: bool
) -> pl.Expr:
    opening = template.opening + (" " if template.opening and is_first else "")
    before = pl.lit(opening if is_first else template.between)
    after = pl.lit(template.closing if is_last else template.joint)
    cell = _render_cell(feature, template)
    if template.missing == "skipped":
        is_missing = feature.cell(numbers=template.numbers) == "missing"
        bare = pl.lit((opening if is_first else "") + (template.closing if is_last else ""))
        piece = pl.when(is_missing).then(bare).otherwise(pl.concat_str(before, cell, after))
    else:
        piece = pl.concat_str(before, cell, after)
    return piece.alias(feature.label)


def _render_cell(feature: Feature, template: Template) -> pl.Expr:
    value = feature.cell(numbers=template.numbers)
    form = template.phrases.get(feature.column, template.cell).replace("{name}", feature.label)
    before, after = form.split("{value}", 1)
    words = pl.concat_str(pl.lit(before), value, *_with_unit(after, value, feature, template))
    if not template.binned or feature.is_text:
        return words
    is_known = value.is_in([*feature.known, "missing", "other"])
    token = pl.concat_str(pl.lit(f"[{feature.label}="), value, pl.lit("]"))
    return pl.when(is_known).then(token).otherwise(words)


def _with_unit(after: str, value: pl.Expr, feature: Feature, template: Template) -> list[pl.Expr]:
    """What follows the value; a unit is singular after exactly one."""
    unit = template.units.get(feature.column)
    if unit is None or feature.form != "number":
        return [pl.lit(after.replace("{unit}", ""))]
    one, _, many = unit.partition("|")
    word = pl.when(value == "1").then(pl.lit(f" {one}")).otherwise(pl.lit(f" {many or one + 's'}"))
    start, found, end = after.partition("{unit}")
    if not found:
        start, end = "", after
    return [
        pl.lit(start),
        pl.when(value != "missing").then(word).otherwise(pl.lit("")),
        pl.lit(end),
    ]
