"""Columns that a request names: matched with those of the table, or refused."""

from typing import Any

import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.schema.columns_asked import resolve_columns
from bert_playground.data.schema.decide import decide, decide_if_possible, plan_windows

FRAME = pl.DataFrame(
    {
        "id": [str(i) for i in range(40)],
        "age": [str(i % 7) for i in range(40)],
        " plan": ["gold", "iron"] * 20,
        "y": ["hi", "lo", "hi", "hi"] * 10,
    }
)


@pytest.mark.parametrize("spelt", ["y", "y ", " y", "'y'", '"y"', "`y`", "y,", ",y"])
def test_a_target_may_have_blanks_or_quotes_around_it(spelt: str) -> None:
    schema = decide(FRAME, DataSection(target=spelt))
    assert (schema.target, schema.targets, schema.task) == ("y", ("y",), "binary")


def test_a_name_of_the_table_wins_over_one_without_its_blanks() -> None:
    columns = ["y", "y ", "a,b", " plan"]
    for name in ("y", "y ", "a,b"):
        assert resolve_columns(DataSection(target=name), columns).target == name
    found = resolve_columns(
        DataSection(id_column="plan", drop_columns=["plan"], kinds={"plan": "category"}), columns
    )
    assert (found.id_column, found.drop_columns) == (" plan", (" plan",))
    assert found.kinds == {" plan": "category"}


@pytest.mark.parametrize("spelt", ["", " ", "none", "None", "NONE"])
def test_an_id_may_be_said_to_be_none(spelt: str) -> None:
    assert decide(FRAME, DataSection(target="y", id_column=spelt)).id_column is None


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"target": "y,y"}, "data.target names 'y' more than once"),
        ({"target": "y, 'y'"}, "data.target names 'y' more than once"),
        ({"target": ["y", "y"]}, "data.target names 'y' more than once"),
        ({"target": "y", "id_column": "y"}, "the target is y, but data.id_column names 'y'"),
        ({"target": "y", "drop_columns": ["y"]}, "data.drop_columns names 'y'"),
        ({"target": "y", "text_columns": ["y"]}, "data.text_columns names 'y'"),
        ({"target": "y", "numeric_features": ["y"]}, "data.numeric_features names 'y'"),
        ({"target": "y", "group_column": "y"}, "data.group_column names 'y'"),
        ({"target": "y", "time_column": "y"}, "data.time_column names 'y'"),
        ({"drop_columns": ["age", "age"]}, "data.drop_columns names 'age' more than once"),
        ({"target": "yy"}, "'yy'; did you mean 'y'|lacks 1 column"),
    ],
)
def test_a_column_with_two_parts_is_refused(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decide(FRAME, DataSection(**request_))


@pytest.mark.parametrize("field", ["target", "group_column", "time_column", "series_column"])
@pytest.mark.parametrize("value", ["", " ", ","])
def test_an_empty_name_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="an empty name, expected that of a column"):
        DataSection(**{field: value})


@pytest.mark.parametrize("field", ["drop_columns", "text_columns", "text_pair", "class_order"])
def test_empty_names_in_lists_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match="an empty name among them"):
        DataSection(**{field: ["age", " "]})
    with pytest.raises(ValueError, match="an empty name among them"):
        DataSection(kinds={"": "number"})


def test_a_column_that_has_a_part_is_not_inferred_to_be_the_target() -> None:
    assert decide(FRAME, DataSection(drop_columns=["y"])).target == " plan"
    frame = FRAME.select("age", " plan", "id")
    assert decide(frame, DataSection(id_column="id")).target == " plan"


def test_windows_know_their_columns() -> None:
    asked = DataSection(target="age ", horizon=2, time_column="'id'")
    windows = plan_windows(FRAME, asked)
    assert windows is not None
    assert (windows.value, windows.time_column) == ("age", "id")
    with pytest.raises(ValueError, match=r"data\.time_column names 'age'"):
        plan_windows(FRAME, DataSection(target="age", horizon=2, time_column="age"))


def test_what_cannot_be_inferred_is_none_but_what_is_given_is_refused() -> None:
    frame = FRAME.drop("y").with_columns(note=pl.Series([f"word {i}" for i in range(40)]))
    schema, fault = decide_if_possible(frame, DataSection())
    assert (schema.target, schema.targets, schema.id_column) == ("", (), "id")
    assert fault is not None
    assert fault.startswith("target note was inferred (the last column)")
    for wrong in ({"target": "note"}, {"id_column": "absent"}, {"drop_columns": ["absent"]}):
        with pytest.raises(ValueError, match=r"no class|lacks 1 column"):
            decide_if_possible(frame, DataSection(**wrong))
