"""Spellings: what people write as numbers, dates and times of day, and what only looks like it."""

import polars as pl
import pytest

from bert_playground.data.columns.kinds import as_kind, infer_kind
from bert_playground.data.columns.parsing import CLOCK, COMPACT, read_date, read_hour, read_number
from bert_playground.data.columns.timestamps import find_time_column, parse_timestamps
from bert_playground.data.templates.fit_features import fit_features


def said_of(cells: list[str], **more: object) -> str:
    frame = pl.DataFrame({"c": cells, "n": [str(i * 0.5) for i in range(len(cells))]})
    return " | ".join(fit_features(frame, **more)[1])


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1.250,50 €", "3,20 €", "-4,00 €"], [1250.5, 3.2, -4]),
        (["12,5 %", "0 %", "100 %"], [12.5, 0, 100]),
        (["1.250", "2.333.444", "12"], [1250, 2333444, 12]),
        (["1 250", "2 333 444", "12"], [1250, 2333444, 12]),
        (["1'250", "2\u2019333", "12\u00a0000"], [1250, 2333, 12000]),
        (["($3.50)", "$4", "-$5"], [-3.5, 4, -5]),
        (["\u22125", "6.5", "\u22120.5"], [-5, 6.5, -0.5]),
        (["₹1,20,000", "Rs. 500", "₹1,000"], [120000, 500, 1000]),
        (["1.2k", "3K", "450"], [1200, 3000, 450]),
        (["€110.5M", "€565K", "€0", "$1.2B"], [110.5e6, 565e3, 0, 1.2e9]),
        (["2 million", "3 thousand"], [2e6, 3e3]),
        (["5kg", "60kg"], [5, 60]),
        (["4/5", "3.5/5"], [4, 3.5]),
        (["10,000+", "5+", "0"], [10000, 5, 0]),
        (["1 minute", "15 minutes"], [1, 15]),
        (["1 inch", "6 inches"], [1, 6]),
    ],
)
def test_numbers_are_read_as_people_mean(cells: list[str], numbers: list[float]) -> None:
    kind = infer_kind(pl.Series(cells))
    assert kind.name == "number"
    read = pl.DataFrame({"c": cells}).select(read_number(pl.col("c"), kind.spelling)).to_series()
    assert read.to_list() == pytest.approx(numbers)


@pytest.mark.parametrize(
    "cells",
    [
        ["2 years", "3 weeks", "5 days"],
        ["90 min", "1 h 30 min"],
        ["5 kg", "600 g"],
        ["5kg", "6"],
        ["12A", "13B"],
        ["+1 555 123 4567", "+1 555 222 1111"],
        ["10.0.0.1", "192.168.1.1"],
        ["52.5, 13.4", "48.1, 11.5"],
        ["10x20", "30x40"],
        ["\u0663", "\u0664", "\u0665"],
        ["\uff11", "\uff12"],
    ],
)
def test_what_no_single_number_says_is_none(cells: list[str]) -> None:
    assert infer_kind(pl.Series(cells)).name not in ("number", "nothing")
    said_of(cells * 10)  # and is read as something


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["1/31/20", "12/25/99"], ["2020-01-31", "1999-12-25"]),
        (["31/01/20", "25/12/21"], ["2020-01-31", "2021-12-25"]),
        (["31.12.20", "01.01.21"], ["2020-12-31", "2021-01-01"]),
        (["05-Mar-20", "06-Apr-21"], ["2020-03-05", "2021-04-06"]),
        (["Thu, 5 Mar 2020", "Fri, 6 Mar 2020"], ["2020-03-05", "2020-03-06"]),
        (["20200131", "20201231"], ["2020-01-31", "2020-12-31"]),
        (["2020-01", "2021-12"], ["2020-01-01", "2021-12-01"]),
        (["2020-1-5", "2020-12-31"], ["2020-01-05", "2020-12-31"]),
    ],
)
def test_dates_of_more_forms(cells: list[str], dates: list[str]) -> None:
    kind = infer_kind(pl.Series(cells))
    assert kind.name == "date"
    read = pl.DataFrame({"c": cells}).select(read_date(pl.col("c"), kind.spelling)).to_series()
    assert read.cast(pl.String).to_list() == dates


def test_eight_digits_that_are_no_dates_are_numbers() -> None:
    assert infer_kind(pl.Series(["20200131", "20201331"])).name == "number"
    assert infer_kind(pl.Series(["20200131", "20200201"])).spelling == COMPACT


@pytest.mark.parametrize("cells", [["03-04-2020", "05-06-2020"], ["03/04/20", "05/06/20"]])
def test_an_order_of_day_and_month_that_could_be_the_other_is_said(cells: list[str]) -> None:
    assert "read as month" in said_of(cells * 10)


def test_afternoons_come_after_mornings() -> None:
    cells = ["1/31/2020 12:30 AM", "1/31/2020 1:05 AM", "1/31/2020 12:15 pm", "1/31/2020 1:05 PM"]
    hours = pl.DataFrame({"c": cells}).select(read_hour(pl.col("c"))).to_series().to_list()
    assert hours == ["00", "01", "12", "13"]
    moments = parse_timestamps(pl.Series("c", cells))
    assert (moments[1:] > moments[:-1]).all()
    iso = pl.Series("c", ["2020-01-31 01:05 AM", "2020-01-31 01:05 PM"])
    assert parse_timestamps(iso).tolist()[1] - parse_timestamps(iso).tolist()[0] == 12 * 3600


def test_a_time_of_day_is_read_by_its_hour_and_is_no_time_column() -> None:
    cells = [f"{i % 24}:{i % 60:02d}" for i in range(240)]
    kind = infer_kind(pl.Series(cells))
    assert (kind.name, kind.spelling) == ("date", CLOCK)
    frame = pl.DataFrame({"c": cells, "day": [f"2020-01-{i % 28 + 1:02d}" for i in range(240)]})
    features, _ = fit_features(frame.select("c"))
    assert [feature.part for feature in features] == ["hour"]
    assert find_time_column(frame) == "day"
    assert parse_timestamps(frame["c"]).tolist()[:3] == [0, 3660, 7320]


def test_a_few_words_among_dates_count_as_missing_and_are_said() -> None:
    cells = [f"{i % 28 + 1}.{i % 12 + 1}.2020" for i in range(99)]
    assert "c: read as a date; unknown count as missing" in said_of([*cells, "unknown"])


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%Q", "%H:%M"])
def test_a_date_form_that_reads_nothing_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r"is to hold dates such as .*correct the format"):
        as_kind(pl.Series("c", ["male", "female"]), form)


def test_a_date_form_with_a_time_can_be_given() -> None:
    cells = ["Thu Mar 05 10:00:00 2020", "Mon Apr 06 11:30:00 2020"]
    kind = as_kind(pl.Series("c", cells), "%a %b %d %H:%M:%S %Y")
    read = pl.DataFrame({"c": cells}).select(read_date(pl.col("c"), kind.spelling)).to_series()
    assert read.cast(pl.String).to_list() == ["2020-03-05", "2020-04-06"]
