"""Templates: every one makes a text of each row, and its pieces join to that text."""

import polars as pl
import pytest

from bert_playground.data.columns import dictionary_encoding
from bert_playground.data.columns.dictionary_encoding import join_cells
from bert_playground.data.templates.derive import derive_columns, source_columns
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.templates import (
    TEMPLATES,
    Template,
    choose_template,
    known_cells,
    render_cells,
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
    "separated": "age: 22 sex: male about: likes {name} [SEP]",
    "natural": "the age is 22, the sex is male, the about is likes {name} [SEP]",
    "markdown": "- age: 22\n- sex: male\n- about: likes {name} [SEP]",
    "cells": "[age=q1] [sex=male] about likes {name} [SEP]",
    "text": "22 male likes {name} [SEP]",
}


@pytest.mark.parametrize("name", [name for name in TEMPLATES if not TEMPLATES[name].derive])
def test_template_text(name: str) -> None:
    columns = render_cells(FRAME, FEATURES, TEMPLATES[name])
    texts = join_cells(columns)
    assert texts[0] == EXPECTED[name]
    assert not texts.has_nulls()
    said = [column.rows().filter(column.rows() != "") for column in columns]
    assert all(column.str.contains(r"^\s").all() for column in said[1:])


@pytest.mark.parametrize("name", [name for name in TEMPLATES if not TEMPLATES[name].derive])
def test_small_tables_and_large_ones_are_written_alike(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = (*FEATURES, Feature("Age", "age again", "category", ("22",)))
    frame = FRAME[[0, 1, 0, 0, 1]]
    small, large = [], []
    for few_rows, columns in ((10, small), (0, large)):
        monkeypatch.setattr(dictionary_encoding, "FEW_ROWS", few_rows)
        columns += render_cells(frame, features, TEMPLATES[name])
    assert [len(column.values) for column in large] == [2] * 4
    for one, other in zip(small, large, strict=True):
        assert one.rows().equals(other.rows(), check_names=True)
    assert join_cells(small).equals(join_cells(large))


def test_what_was_written_before_does_not_decide_what_is_written_now() -> None:
    one, other = (
        TEMPLATES["natural"].changed({"units": {"Age": unit}}) for unit in ("year", "month")
    )
    texts = [join_cells(render_cells(FRAME, FEATURES[:1], each))[0] for each in (one, other, one)]
    assert texts == ["the age is 22 years", "the age is 22 months", "the age is 22 years"]


def test_unseen_categories_are_read_word_by_word() -> None:
    columns = render_cells(FRAME, FEATURES, TEMPLATES["cells"])
    assert [column.rows()[1] for column in columns] == [
        "[age=missing]",
        " sex queer",
        " about a, b",
    ]


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


def texts(template: Template, frame: pl.DataFrame, *features: Feature) -> list[str]:
    return join_cells(render_cells(frame, features, template)).to_list()


NUMBER = pl.DataFrame({"n": ["1234.5678", "-0.042", "0", "1", None]})


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ("exact", ["1234.5678", "-0.042", "0", "1", "missing"]),
        ("rounded", ["1235", "-0.042", "0", "1", "missing"]),
        ("magnitude", ["e3 1.23", "e-2 -4.2", "0", "e0 1.0", "missing"]),
        ("bins", ["high", "low", "high", "high", "missing"]),
    ],
)
def test_numbers_are_written_as_asked(numbers: str, expected: list[str]) -> None:
    feature = Feature("n", "n", "number", ("low", "high"), (-0.01,))
    assert texts(Template("{value}", numbers=numbers), NUMBER, feature) == expected


def test_units_follow_the_number() -> None:
    frame = pl.DataFrame({"age": ["1", "2", None], "height": ["1", "6", "5.5"]})
    template = TEMPLATES["natural"].changed({"units": {"age": "year", "height": "foot|feet"}})
    features = (Feature("age", "age", "number"), Feature("height", "height", "number"))
    assert texts(template, frame, *features) == [
        "the age is 1 year, the height is 1 foot",
        "the age is 2 years, the height is 6 feet",
        " the height is 5.5 feet",
    ]


def test_phrases_and_derived_columns() -> None:
    frame = pl.DataFrame({"SibSp": ["1", "0"], "Parch": ["2", "0"]})
    template = Template(
        joint=",",
        derive={"Family": "CAST(SibSp AS INT) + CAST(Parch AS INT) + 1"},
        phrases={"Family": "family of {value}"},
    )
    features = (Feature("Family", "family", "number"), Feature("Parch", "parch", "number"))
    assert source_columns(features, template) == ["SibSp", "Parch"]
    assert texts(template, derive_columns(frame, template), *features) == [
        "family of 4, parch: 2",
        "family of 1, parch: 0",
    ]


def test_sources_are_found_in_time_that_is_linear_in_the_derived_columns() -> None:
    twice = {f"c{number}": f"c{number - 1} || c{number - 1}" for number in range(1, 41)}
    template = Template(derive={"c0": "UPPER(Sex)", **twice, "Age": "Age || 'x'"})
    features = [Feature(name, name, "text") for name in ("c40", "Age")]
    assert source_columns(features, template) == ["Sex", "Age"]
    circle = Template(derive={"x": "y || 'a'", "y": "x || 'b'"})
    assert source_columns([Feature("x", "x", "text")], circle) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [("a +", "cannot be derived"), ("b + 1", 'unable to find column "b"')],
)
def test_a_faulty_derivation_is_an_error(sql: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        derive_columns(pl.DataFrame({"a": ["1"]}), Template(derive={"c": sql}))


def test_jinja_sees_numbers_text_and_what_is_missing() -> None:
    frame = pl.DataFrame({"Age": ["22", None, "22"], "full name": ["Ada", "Bob", "Ada"]})
    source = "{{ row['full name'] }}{% if Age is not none %}, {{ Age + 1 }}{% endif %}"
    features = (Feature("Age", "age", "number"), Feature("full name", "full name", "category"))
    assert texts(Template(jinja=source), frame, *features) == ["Ada, 23.0", "Bob", "Ada, 23.0"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% if %}", "wrong in line 1"),
        ("{{ Agee }}", "'Agee' is undefined.*the columns are Age"),
        ("{{ Age / 0 }}", "fails on a row"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|undefined"),
    ],
)
def test_a_faulty_jinja_template_is_an_error(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        texts(
            Template(jinja=source), pl.DataFrame({"Age": ["22"]}), Feature("Age", "age", "number")
        )


def test_options_are_checked_by_name() -> None:
    with pytest.raises(ValueError, match="unknown template option 'unit'; did you mean 'units'"):
        Template().changed({"unit": {}})
    with pytest.raises(ValueError, match="unknown way to write numbers 'bin'; did you mean 'bins'"):
        Template(numbers="bin")
    with pytest.raises(ValueError, match=r"needs \{value\}"):
        Template(cell="nothing")


def test_a_template_is_stored_by_what_differs() -> None:
    template = TEMPLATES["natural"].changed({"units": {"age": "year"}})
    assert Template(**template.to_dict()) == template
    assert Template().to_dict() == {}


def test_an_own_template_is_one_line() -> None:
    TEMPLATES["mine"] = Template("{name}={value}", joint=";")
    try:
        assert choose_template("mine", FEATURES, is_pretrained=False) == "mine"
        assert texts(TEMPLATES["mine"], FRAME[:1], *FEATURES[:2]) == ["age=22; sex=male"]
    finally:
        del TEMPLATES["mine"]
