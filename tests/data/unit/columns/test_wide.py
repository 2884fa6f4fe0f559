"""Many columns at once are told as one by one."""

from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_playground.data.columns import kinds
from bert_playground.data.columns.kinds import infer_all, infer_kind
from bert_playground.data.columns.wide import MANY, count_values, read_numbers

CELLS = {
    "numbers": ["1", " 2.5", "", "1e3", "-7"],
    "numbers and NA": ["1", "NA", "3", "n/a", "5"],
    "one number": ["1", "1", "", "1", "1"],
    "one number and NA": ["1", "NA", "1", "NA", "1"],
    "nothing": ["", "?", "nan", "NULL", " "],
    "dates": ["2020-01-01", "2020-01-02", "", "2021-05-05", "2022-01-01"],
    "compact dates": ["20200101", "20200102", "20210505", "20220101", "20191231"],
    "words": ["red", "blue", "red", "blue", "red"],
    "words and NA": ["red", "NA", "", "none", "red"],
    "long words": [f"{word} b c d e f g" for word in ("red", "blue", "red", "blue", "red")],
    "scale": ["low", "high", "Medium", "low", "high"],
    "answers": ["yes", "No", "yes", "no", ""],
    "infinite": ["inf", "low", "low", "inf", "low"],
    "lists": ["a|b", "a", "b|a", "a|b", "b"],
    "brackets": ["['a']", "['b', 'a']", "[]", "['a']", "['b']"],
    "codes": ["K1", "K2", "K1", "K2", "K3"],
    "names": [
        "Braund, Mr. Owen",
        "Allen, Miss. Ann",
        "Moran, Mr. Jim",
        "Fox, Mrs. Eve",
        "Lam, Mr. Len",
    ],
    "money": ["$1", "$2", "$3", "$4", "$5"],
    "commas": ["1,5", "2,5", "3,5", "4,5", "5,5"],
    "amounts below zero": ["(1)", "(2)", "\N{MINUS SIGN}3", "(4)", "5"],
    "days": ["5 Mar 2020", "6 Mar 2020", "7 Apr 2021", "1 May 2020", "2 May 2020"],
    "times": ["9:05", "10:15", "23:59", "0:00", "9:05 pm"],
    "questions": ["a; b", "b", "c; a", "", "a"],
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """More columns than are looked at one by one."""
    return pl.DataFrame(
        {
            f"{name} {copy}": cells
            for copy in range(MANY // len(CELLS) + 1)
            for name, cells in CELLS.items()
        }
    )


def test_kinds_are_those_of_single_columns(frame: pl.DataFrame) -> None:
    assert infer_all(frame) == {name: infer_kind(frame[name]) for name in frame.columns}


def test_many_different_words_are_told_as_one_by_one() -> None:
    words = pl.Series([f"{a}{b}{a}" for a in "abcdefg" for b in "abcdefg"])
    frame = pl.DataFrame({f"words {copy}": words for copy in range(MANY)})
    assert infer_all(frame) == {name: infer_kind(frame[name]) for name in frame.columns}


@pytest.mark.medium
@settings(max_examples=12)  # each tells a dozen columns one by one
@given(seed=st.integers(0, 10_000), height=st.sampled_from([1, 2, 5, 23, 90]))
def test_kinds_of_mixed_cells_are_those_of_single_columns(seed: int, height: int) -> None:
    random = np.random.default_rng(seed)
    cells = list(CELLS.values())
    columns = {}
    for number in range(6):  # a column of one form, or of two with a few cells of the other
        form, other = (cells[place] for place in random.choice(len(cells), 2))
        share = random.choice([0.0, 0.04, 0.3])
        columns[f"{number}"] = [
            str(random.choice(other if random.random() < share else form)) for _ in range(height)
        ]
        columns[f"{number} of its own"] = [
            f"{cell} {i}" for i, cell in enumerate(columns[f"{number}"])
        ]
    frame = pl.DataFrame(columns)
    with patch.object(kinds, "MANY", 1):
        together = infer_all(frame)
    assert together == {name: infer_kind(frame[name]) for name in frame.columns}


def test_values_are_counted_in_each_column() -> None:
    cells = pl.Series(["b", "a", "b", None, "c", "c", "a", "a", None, None, None, None])
    assert count_values(cells, 3).rows() == [(0, "b", 2), (0, "a", 1), (1, "a", 2), (1, "c", 2)]


def test_numbers_are_read_by_their_spelling(frame: pl.DataFrame) -> None:
    found = read_numbers(frame, {"numbers 0": "", "money 1": "worded", "commas 2": "comma"})
    np.testing.assert_allclose(found["numbers 0"], [1, 2.5, np.nan, 1000, -7])
    np.testing.assert_allclose(found["money 1"], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(found["commas 2"], [1.5, 2.5, 3.5, 4.5, 5.5])
