"""TEMPLATES: a row → a sentence (key_value, sentence, separated, natural, cells, text)."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from bert_playground.data.core.features import Feature
from bert_playground.lookup import look_up


@dataclass(frozen=True)
class Template:
    """How the cells of a row become one text.

    Attributes:
        cell: the form of one cell, with {name} and {value}.
        joint: after every cell but the last.
        opening: before the first cell.
        closing: after the last cell.
        binned: numbers are written as quantile bins, and every known cell is one token, such as "[age=q3]".
    """

    cell: str
    joint: str = ""
    opening: str = ""
    closing: str = ""
    binned: bool = False


TEMPLATES = {
    "key_value": Template("{name}: {value}", joint=","),
    "sentence": Template("The {name} is {value}."),
    "separated": Template("{name} {value}", joint=" |"),
    "natural": Template("{name} {value}", joint=",", opening="A record with ", closing="."),
    "cells": Template("{name} {value}", binned=True),
    "text": Template("{value}"),
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


def render_segments(
    frame: pl.DataFrame, features: Sequence[Feature], template: Template
) -> pl.DataFrame:
    """The pieces of each row's text, one column per feature; joined without anything between they are the text.

    Every piece but the first starts with a blank, where each tokenizer family starts a new word.
    """
    last = len(features) - 1
    return frame.select(
        pl.concat_str(
            pl.lit(template.opening if i == 0 else " "),
            _render_cell(feature, template),
            pl.lit(template.closing if i == last else template.joint),
        ).alias(str(i))
        for i, feature in enumerate(features)
    )


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


def _render_cell(feature: Feature, template: Template) -> pl.Expr:
    value = feature.cell(binned=template.binned)
    before, after = (
        part.replace("{name}", feature.label) for part in template.cell.split("{value}")
    )
    words = pl.concat_str(pl.lit(before), value, pl.lit(after))
    if not template.binned or feature.is_text:
        return words
    is_known = value.is_in([*feature.known, "missing", "other"])
    token = pl.concat_str(pl.lit(f"[{feature.label}="), value, pl.lit("]"))
    return pl.when(is_known).then(token).otherwise(words)
