"""Templates: every one makes a text of each row, and its pieces join to that text."""

import polars as pl
import pytest

from bert_playground.data.core.features import Feature
from bert_playground.data.templates.text import (
    TEMPLATES,
    choose_template,
    known_cells,
    render_segments,
)

FRAME = pl.DataFrame(
    {"Age": ["22", None], "Sex": ["male", "queer"], "About": ["likes {name} [SEP]", "a, b"]}
)
FEATURES = (
    Feature("Age", "age", "number", ("q1", "q2"), (30.0,)),
    Feature("Sex", "sex", "category", ("male", "female")),
    Feature("About", "about", "text"),
)
EXPECTED = {
    "key_value": "age: 22, sex: male, about: likes {name} [SEP]",
    "sentence": "The age is 22. The sex is male. The about is likes {name} [SEP].",
    "separated": "age 22 | sex male | about likes {name} [SEP]",
    "natural": "A record with age 22, sex male, about likes {name} [SEP].",
    "cells": "[age=q1] [sex=male] about likes {name} [SEP]",
    "text": "22 male likes {name} [SEP]",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_text(name: str) -> None:
    segments = render_segments(FRAME, FEATURES, TEMPLATES[name])
    texts = segments.select(pl.concat_str(pl.all())).to_series()
    assert texts[0] == EXPECTED[name]
    assert not texts.has_nulls()
    assert all(segments[column].str.starts_with(" ").all() for column in segments.columns[1:])


def test_unseen_categories_are_read_word_by_word() -> None:
    segments = render_segments(FRAME, FEATURES, TEMPLATES["cells"])
    assert segments.row(1) == ("[age=missing]", " sex queer", " about a, b")


def test_known_cells_are_what_the_training_rows_had() -> None:
    assert known_cells(FEATURES, TEMPLATES["key_value"]) == []
    assert known_cells(FEATURES[:1], TEMPLATES["cells"]) == [
        "[age=q1]",
        "[age=q2]",
        "[age=missing]",
        "[age=other]",
    ]


def test_auto_chooses_by_columns_and_checkpoint() -> None:
    assert choose_template("auto", FEATURES, is_pretrained=False) == "cells"
    assert choose_template("auto", FEATURES, is_pretrained=True) == "key_value"
    assert choose_template("auto", FEATURES[2:], is_pretrained=False) == "text"
    assert choose_template("natural", FEATURES, is_pretrained=False) == "natural"


def test_unknown_template_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown template 'naturl'; did you mean 'natural'"):
        choose_template("naturl", FEATURES, is_pretrained=False)
