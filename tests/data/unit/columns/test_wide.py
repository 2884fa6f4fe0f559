"""Many columns at once are told as one by one."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.columns.kinds import infer_all, infer_kind
from bert_playground.data.columns.wide import MANY, read_numbers

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


def test_numbers_are_read_by_their_spelling(frame: pl.DataFrame) -> None:
    found = read_numbers(frame, {"numbers 0": "", "money 1": "worded", "commas 2": "comma"})
    np.testing.assert_allclose(found["numbers 0"], [1, 2.5, np.nan, 1000, -7])
    np.testing.assert_allclose(found["money 1"], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(found["commas 2"], [1.5, 2.5, 3.5, 4.5, 5.5])
