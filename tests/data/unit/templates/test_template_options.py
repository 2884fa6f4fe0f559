"""Options of templates: wrong ones are named, and none lets a target into the text."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import RowText, fit_row_text
from tests.fitting import fit_pipeline

FRAME = pl.DataFrame(
    {
        "Age": [str(20 + i % 9) for i in range(60)],
        "Sex": ["m", "f"] * 30,
        "SibSp": [str(i % 3) for i in range(60)],
        "Same": ["one"] * 60,
        "Survived": [str(i % 2) for i in range(60)],
    }
)


def fit(**options: Any) -> RowText:
    section = TextOptions(template="natural", **options)
    return fit_row_text(FRAME, section, skip=("Survived",), id_column=None, vocab_size=300)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": "year"}, "units is 'year', expected words under column names"),
        ({"units": {"Age": 3}}, "units is {'Age': 3}, expected words under column names"),
        ({"phrases": ["a"]}, r"phrases is \['a'\], expected words under column names"),
        ({"joint": 3, "binned": "yes"}, "joint is 3, expected text; binned is 'yes', expected true"),
        ({"numbers": 3}, "numbers is 3, expected text"),
        ({"jinja": 3}, "jinja is 3, expected text"),
        ({"units": {"Agee": "year"}}, "'Agee'; did you mean 'Age'"),
        ({"phrases": {"Sx": "{value}"}}, "'Sx'; did you mean 'Sex'"),
        ({"phrases": {"Sex": "{valu} {value}"}}, "has {valu}; did you mean 'value'"),
        ({"cell": "{naem}: {value}"}, "has {naem}; did you mean 'name'"),
        ({"derive": {"Leak": "CAST(Survived AS INT)"}}, "derives columns from Survived, which must not"),
        ({"derive": {"A": "Survived", "B": "A || '!'"}}, "derives columns from Survived"),
        ({"jinja": "{{ [].pop() }}"}, "the Jinja template fails on a row"),
        ({"jinja": "{{ Survived }}"}, "'Survived' is undefined"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(template_options=options).text(FRAME)


@pytest.mark.parametrize(
    "option", [{"kinds": {"Survived": "category"}}, {"text_columns": ("Survived",)}]
)
def test_a_target_never_becomes_a_feature(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name Survived, which must not be read"):
        fit(**option)


@pytest.mark.parametrize("template", ["auto", "natural"])
def test_columns_can_be_derived_from_derived_ones(template: str) -> None:
    derive = {"Family": "CAST(SibSp AS INT) + 1", "Crowd": "Family * 10"}
    section = TextOptions(
        template=template, drop_columns=("SibSp",), kinds={"Crowd": "category"},
        template_options={"derive": derive, "phrases": {"Family": "family of {value}"}},
    )  # fmt: skip
    text = fit_row_text(FRAME, section, skip=("Survived",), id_column=None, vocab_size=300)
    assert text.columns == ["Age", "Sex", "SibSp"]
    said = text.text(FRAME[["Age", "Sex", "SibSp"]])[2]
    assert "crowd" in said
    assert "30" in said
    assert "sib sp" not in said


def test_a_derived_column_that_is_left_out_is_not_asked_for_later() -> None:
    section = DataSection(
        target="Survived", task="binary", template="key_value", drop_columns=("Loud", "Sex"),
        template_options={"derive": {"Loud": "UPPER(Sex)", "Known": "UPPER(Same)"}},
    )  # fmt: skip
    pipeline = fit_pipeline(FRAME, section, vocab_size=300)
    assert pipeline.columns == ["Age", "SibSp"]
    table = pipeline.tokenize(FRAME[["Age", "SibSp"]])
    assert np.all(table.lengths > 2)


def test_kinds_of_dropped_columns_do_no_harm() -> None:
    text = fit(kinds={"Sex": "category"}, text_columns=("SibSp",), drop_columns=("Sex", "SibSp"))
    assert text.columns == ["Age"]
