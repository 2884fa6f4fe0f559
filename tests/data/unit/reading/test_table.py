"""Reading CSVs: what is read stays text, and every fault is named with its place."""

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_playground.data.reading.table import as_text, read_table, require_columns

# What a CSV file can hold: all of Unicode but surrogates, NUL and the lone carriage return that ends lines.
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)


def write(folder: Path, content: bytes | str, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_cells_stay_the_text_they_are(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "id,price\n007,1.50\n008,\n"))
    assert frame.to_dict(as_series=False) == {"id": ["007", "008"], "price": ["1.50", None]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_sniffed(tmp_path: Path, delimiter: str) -> None:
    content = f'"a,;x"{delimiter}b{delimiter}c\n1{delimiter}2{delimiter}3\n'
    assert read_table(write(tmp_path, content)).columns == ["a,;x", "b", "c"]


def test_byte_order_mark_carriage_returns_and_quoted_newlines(tmp_path: Path) -> None:
    frame = read_table(
        write(tmp_path, b'\xef\xbb\xbfa,b\r\n"one\ntwo","say ""hi"""\r\n\r\n3,4\r\n')
    )
    assert frame.to_dict(as_series=False) == {"a": ["one\ntwo", "3"], "b": ['say "hi"', "4"]}


def test_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, "a\n1\n", "train.csv")
    with pytest.raises(FileNotFoundError, match=r"trian\.csv; did you mean 'train\.csv'"):
        read_table(tmp_path / "trian.csv")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"a,b\n", "has a header but no rows"),
        (b"a,b\n1,2\n3\n", r"is ragged: the header has 2 cells, but line 3 has 1"),
        (b"a,b\n1,2\n3,4,5\n", r"is ragged: the header has 2 cells, but line 3 has 3"),
        (b'a,b\n"x\ny",2\n3\n4,5,6\n', r"line 4 has 1, line 5 has 3"),
        (b"a,b\n1,caf\xe9\n", r"is not UTF-8: byte 9 \(line 2\) is 0xe9.*iconv -f WINDOWS-1252"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16.*iconv -f UTF-16"),
        (b"a,b\n1,\x002\n", "NUL byte at byte 6"),
        (b"a,b,a\n1,2,3\n", "duplicate column names: 'a'"),
        (b'a,b\n"1,2\n', "never closed, in the row that begins on line 2"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, content))


pieces = st.sampled_from(
    [",", ",", "1", "x", '"q"', '"a,b"', '"a\nb"', '""', "\n", "\n", "\r\n", " "]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.lists(pieces, min_size=1, max_size=14).map("".join), width=st.integers(2, 3))
def test_a_row_with_too_few_or_too_many_cells_is_always_found(
    tmp_path: Path, body: str, width: int
) -> None:
    content = f"{','.join('abc'[:width])}\n{','.join('123'[:width])}\n{body}\n"
    rows = [row for row in csv.reader(io.StringIO(content, newline="")) if row]
    if any(len(row) != width for row in rows):
        with pytest.raises(ValueError, match="is ragged"):
            read_table(write(tmp_path, content))
    else:
        frame = read_table(write(tmp_path, content))
        kept = [tuple(cell or None for cell in row) for row in rows[1:] if any(row)]
        assert frame.rows() == kept


@pytest.mark.parametrize("more", ["", 'x,5" pipe\n'])
def test_an_empty_cell_is_null_be_it_quoted_or_not(tmp_path: Path, more: str) -> None:
    frame = read_table(write(tmp_path, f'a,b\n"",1\n,2\n"",""\n{more}'))
    assert frame.rows()[:2] == [(None, "1"), (None, "2")]
    assert frame.height == 2 + bool(more)  # a row of empty cells alone is none


def test_quoted_empty_last_cells_are_not_ragged(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, 'a,b\n1,\n2,""\n')).height == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8))
def test_any_content_comes_back(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    keyed = [(f"r{number}", *row) for number, row in enumerate(rows)]
    frame = pl.DataFrame(keyed, schema=["key", "a", "b", "c"], orient="row")
    buffer = io.BytesIO()
    frame.write_csv(buffer)
    read = read_table(write(tmp_path, buffer.getvalue()))
    assert read.fill_null("").equals(frame)


def test_as_text_writes_what_a_csv_would_have() -> None:
    frame = pl.DataFrame(
        {"whole": [1.0, None, 3.0], "part": [0.5, float("nan"), 2.0], "flag": [True, False, None]}
    )
    assert as_text(frame).to_dict(as_series=False) == {
        "whole": ["1", None, "3"],
        "part": ["0.5", None, "2.0"],
        "flag": ["True", "False", None],
    }


def test_missing_columns_are_listed_with_the_nearest_names() -> None:
    frame = pl.DataFrame({"Survived": [1], "Age": [2]})
    with pytest.raises(
        ValueError, match=r"2 column\(s\): 'survivd'; did you mean 'Survived'\?, 'Cabin' \(it has"
    ):
        require_columns(frame, ["survivd", "Cabin", "Age"], "the table")
