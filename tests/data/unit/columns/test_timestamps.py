"""Times in any spelling can be ordered."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.columns.timestamps import find_time_column, parse_timestamps


@pytest.mark.parametrize(
    "values",
    [
        ["2020-01-31 09:59:59", "2020-01-31 10:00:00", "2020-02-01 00:00:00"],
        ["2020-01-31T09:59", "2020-01-31T10:00", "2020-02-01"],
        ["31.01.2020", "01.02.2020", "01.01.2021"],
        ["Jan 31, 2020 09:10", "Jan 31, 2020 10:09", "Feb 1, 2020 00:01"],
        ["9", "10", "100"],
        ["$9", "$1,000", "$9,999.5"],
    ],
)
def test_times_are_ordered_as_people_mean(values) -> None:
    assert (np.diff(parse_timestamps(pl.Series("when", values))) > 0).all()


def test_seconds_are_exact() -> None:
    moments = parse_timestamps(pl.Series("when", ["1970-01-02 01:02:03", "1970-01-01 00:00:00"]))
    np.testing.assert_array_equal(moments, [86400 + 3723, 0])


def test_rows_without_a_time_are_named() -> None:
    with pytest.raises(ValueError, match=r"no time in 2 of 4 rows \(rows 2, 4"):
        parse_timestamps(pl.Series("when", ["2020-01-01", None, "2020-01-02", ""]))


def test_words_are_no_times() -> None:
    with pytest.raises(
        ValueError, match=r"'colour' holds neither dates nor numbers, such as 'red'"
    ):
        parse_timestamps(pl.Series("colour", ["red", "blue"]))


def test_the_only_date_is_the_time() -> None:
    frame = pl.DataFrame({"a": ["1", "2"], "when": ["2020-01-01", "2020-01-02"]})
    assert find_time_column(frame) == "when"
    with pytest.raises(ValueError, match=r"several columns hold dates: when, then"):
        find_time_column(frame.with_columns(then=pl.col("when")))
    with pytest.raises(ValueError, match=r"no column holds dates.*data\.time_column"):
        find_time_column(frame.drop("when"))
