"""JSON records become the table that a CSV of the same values is; what is wrong is said by row and column."""

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bert_playground.data.reading.csv_text import parse_csv
from bert_playground.serving.json_rows import parse_row_request, to_frame
from bert_playground.serving.request_error import RequestError

NAMES = ["a", "b b", "ü"]
CELLS = st.one_of(
    st.none(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(st.characters(exclude_categories=["C"], exclude_characters="\r\n"), max_size=8),
)


def read(text: str, needed: tuple[str, ...] = ()) -> pl.DataFrame:
    return to_frame(parse_row_request(text.encode(), 100).rows, needed)


def refuse(text: str, needed: tuple[str, ...] = ()) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(text, needed)
    return caught.value


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, CELLS)), min_size=1, max_size=5))
def test_json_rows_are_the_table_of_the_same_csv(rows: list[dict[str, object]]) -> None:
    # A CSV has no rows of empty cells alone; of everything else it has the spelling of JSON.
    rows = [{**row, "id": "x"} for row in rows]
    file = io.StringIO()
    table = csv.DictWriter(file, ["id", *NAMES], lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(
            {
                name: json.dumps(value)
                if isinstance(value, int | float) and not isinstance(value, bool)
                else value
                for name, value in row.items()
            }
        )
    expected = parse_csv(Path("rows.csv"), file.getvalue().encode())
    assert_frame_equal(read(json.dumps(rows)).select(expected.columns), expected)


@given(
    st.lists(
        st.fixed_dictionaries(
            {name: st.none() | st.integers() | st.floats() | st.text(max_size=3) for name in NAMES}
        ),
        min_size=1,
        max_size=5,
    )
)
def test_rows_of_plain_cells_are_read_as_beside_other_cells(rows: list[dict[str, object]]) -> None:
    beside = json.dumps([{**row, "truth": True} for row in rows])
    assert_frame_equal(read(json.dumps(rows)), read(beside).drop("truth"))


def test_half_of_a_pair_is_refused_by_row_and_column() -> None:
    said = refuse(r'[{"a": "x"}, {"a": "\ud83d"}]').message
    assert "row 2, column 'a'" in said


def test_numbers_keep_their_spelling() -> None:
    frame = read('{"rows": [{"a": 22.0, "b": 22, "c": 1E5, "d": 12345678901234567890123}]}')
    assert frame.row(0) == ("22.0", "22", "1E5", "12345678901234567890123")


def test_lists_records_and_missing_values() -> None:
    frame = read('[{"tags": ["x", 2, null], "at": {"lat": 1.5, "lon": null}, "n": NaN, "e": ""}]')
    assert frame.to_dicts() == [
        {"tags": "x|2", "at.lat": "1.5", "at.lon": None, "n": None, "e": None}
    ]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("{", 422, "no JSON"),
        ('"rows"', 422, 'expected {"rows"'),
        ('{"row": []}', 422, "it has 'row' where \"rows\" was expected"),
        ('{"rows": []}', 400, "empty"),
        ('{"rows": [{}]}', 422, "row 1 is a record without columns"),
        ('{"rows": [{"a": 1}, 3]}', 422, "row 2 is a number"),
        ('{"rows": [{"a": 1}], "modle": "x"}', 422, "did you mean 'model'?"),
        ('{"rows": [{"a": 1}], "model": 3}', 422, '"model" is a number'),
        ('{"rows": [{"a": 1}], "explain": "yes"}', 422, "'explain' is text"),
        ('{"rows": [{"a": 1, "a": 2}]}', 422, "names 'a' 2 times"),
        ('{"rows": [{"a": "\\ud800"}]}', 422, "row 1, column 'a'"),
        ("[" * 5000, 422, "nested too deeply"),
        ('[{"a":' + "[" * 700 + "]" * 700 + "}]", 422, "nested too deeply"),
        ("[" + ",".join(['{"a": 1}'] * 101) + "]", 413, "at most 100"),
        ("\xff", 422, ""),
    ],
)
def test_what_is_no_request_is_refused(text: str, status: int, said: str) -> None:
    error = refuse(text)
    assert error.status_code == status
    assert said in error.message


def test_missing_columns_are_named_with_the_nearest() -> None:
    error = refuse('[{"Agee": 1, "sex": 2}]', needed=("Age", "sex"))
    assert "'Age'; did you mean 'Agee'?" in error.message
    error = refuse('[{"age": 1}, {"ag": 2}]', needed=("age",))
    assert "row 2 lacks 'age'; did you mean 'ag'?" in error.message
    assert "null" in error.message
