"""Kinds follow the values; spellings read numbers, dates and lists as people mean them."""

import polars as pl
import pytest

from bert_playground.data.columns.kinds import as_kind, infer_kind
from bert_playground.data.columns.parsing import read_date, read_hour, read_items, read_number
from bert_playground.data.templates.features import Feature
from bert_playground.data.templates.fit_features import fit_features

ROWS = 100


def column(make: object) -> pl.Series:
    assert callable(make)
    return pl.Series("c", [make(i) for i in range(ROWS)], dtype=pl.String)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("number", lambda i: str(i * 0.5)),
        ("number", lambda i: "NA" if i % 3 else str(i)),
        ("number", lambda i: ["-1e3", "2", "?", None][i % 4]),
        ("category", lambda i: ["male", "female"][i % 2]),
        ("category", lambda i: ["NA", "BrkFace", "Stone", ""][i % 4]),
        ("ordinal", lambda i: ["NA", "Gd", "TA", "Ex", ""][i % 5]),
        ("ordinal", lambda i: ["low", "Medium", "HIGH"][i % 3]),
        ("boolean", lambda i: ["Yes", "no", None][i % 3]),
        ("number", lambda i: f"${i},{i % 1000:03d}.50"),
        ("number", lambda i: f"{i % 5}.0 out of 5 stars"),
        ("number", lambda i: f"{i} review{'s' if i != 1 else ''}"),
        ("number", lambda i: f"{i} %"),
        ("number", lambda i: f"{i},5"),
        ("number", lambda i: "unknown" if i == 50 else str(i)),
        ("date", lambda i: f"{i % 28 + 1}.3.2020"),
        ("date", lambda i: f"Mar {i % 28 + 1}, 2020"),
        ("date", lambda i: f"2020/12/{i % 28 + 1} 1:05"),
        ("list", lambda i: ["Action|Comedy", "Drama", "Comedy|Drama|War"][i % 3]),
        ("list", lambda i: f"['a{i % 4}', 'b']"),
        ("code", lambda i: f"{i}-{i * 7}"),
        ("date", lambda i: f"2011-01-{i % 28 + 1:02d} 0{i % 10}:00:00"),
        ("name", lambda i: f"Smith{i}, {['Mr', 'Mrs'][i % 2]}. John {i}"),
        ("code", lambda i: f"{'ABC'[i % 3]}{i}"),
        ("words", lambda i: f"town{chr(97 + i % 26)}{chr(97 + i // 26)} england"),
        ("text", lambda i: f"the quick brown fox number {i} jumps over a dog"),
        ("nothing", lambda i: None),
        ("nothing", lambda i: "  "),
        ("nothing", lambda i: "same"),
    ],
)
def test_kind_follows_the_values(kind: str, make: object) -> None:
    assert infer_kind(column(make)).name == kind


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["$1,250.50", "-$3", "$ 7", "$0.5"], [1250.5, -3, 7, 0.5]),
        (["4.0 out of 5 stars", "3.5 out of 5 stars"], [4.0, 3.5]),
        (["1 customer review", "1,024 customer reviews"], [1, 1024]),
        (["12%", "3.5 %", "100%"], [12, 3.5, 100]),
        (["3,5", "-12", "0,25"], [3.5, -12, 0.25]),
        (["1st", "22nd", "3rd", "4th"], [1, 22, 3, 4]),
        (["1e3", "-2.5E-1"], [1000, -0.25]),
    ],
)
def test_numbers_are_read_as_people_mean(cells: list[str], numbers: list[float]) -> None:
    kind = infer_kind(pl.Series(cells))
    assert kind.name == "number"
    read = pl.DataFrame({"c": cells}).select(read_number(pl.col("c"), kind.spelling))
    assert read.to_series().to_list() == numbers


@pytest.mark.parametrize(
    "cells",
    [["10-20", "20-30"], ["1.2.3", "4.5.6"], ["12:30", "13:45"], ["3 rooms; 2 baths", "1 | 2"]],
)
def test_what_only_looks_like_a_number_is_none(cells: list[str]) -> None:
    assert infer_kind(pl.Series(cells)).name != "number"


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["31.12.2020", "1.2.2021"], ["2020-12-31", "2021-02-01"]),
        (["03/04/2020", "12/31/2020"], ["2020-03-04", "2020-12-31"]),
        (["13/04/2020", "01/12/2020"], ["2020-04-13", "2020-12-01"]),
        (["5 Mar 2020", "17 Dec 2021"], ["2020-03-05", "2021-12-17"]),
        (["March 5, 2020", "May 6, 2020 10:30"], ["2020-03-05", "2020-05-06"]),
    ],
)
def test_dates_are_read_in_the_form_that_fits_all(cells: list[str], dates: list[str]) -> None:
    kind = infer_kind(pl.Series(cells))
    assert kind.name == "date"
    read = pl.DataFrame({"c": cells}).select(read_date(pl.col("c"), kind.spelling))
    assert read.to_series().cast(pl.String).to_list() == dates


def test_hours_have_two_digits() -> None:
    frame = pl.DataFrame({"c": ["1.2.2020 9:05", "1.2.2020 17:30:01", "1.2.2020"]})
    assert frame.select(read_hour(pl.col("c"))).to_series().to_list() == ["09", "17", None]


def test_items_lose_brackets_quotes_and_blanks() -> None:
    frame = pl.DataFrame({"c": ["['a', 'b c']", "[]"], "d": ["x | y|", None]})
    assert frame.select(read_items(pl.col("c"), "[")).to_series().to_list() == [["a", "b c"], []]
    assert frame.select(read_items(pl.col("d"), "|")).to_series().to_list() == [["x", "y"], None]


def _fit(cells: list[str], **options: object) -> tuple[list[Feature], str, pl.DataFrame]:
    frame = pl.DataFrame({"c": cells, "n": [str(i * 0.5) for i in range(len(cells))]})
    features, said = fit_features(frame, **options)
    return [feature for feature in features if feature.column == "c"], " | ".join(said), frame


def test_words_in_a_column_of_numbers_count_as_missing_and_it_is_said() -> None:
    (feature,), said, frame = _fit([str(i) for i in range(99)] + ["unknown"])
    assert "c: read as a number; unknown count as missing" in said
    assert frame.select(feature.cell(numbers="rounded")).to_series().to_list()[98:] == [
        "98",
        "missing",
    ]


def test_lists_keep_the_items_of_several_rows() -> None:
    (feature,), said, frame = _fit(["a|b", "b|a", "a|rare", ""] * 1 + ["a|b"] * 40)
    assert "lists: c" in said
    assert frame.select(feature.cell(numbers="bins")).to_series().to_list()[:4] == [
        "a, b",
        "b, a",
        "a",
        "missing",
    ]


def test_a_kind_can_be_given() -> None:
    (feature,), _, _ = _fit(["1", "2", "3"] * 20, given_kinds={"c": "category"})
    assert feature.form == "category"
    features, _, frame = _fit(["03/04/2020", "04/05/2020"] * 20, given_kinds={"c": "%d/%m/%Y"})
    months = next(feature for feature in features if feature.part == "month")
    assert frame.select(months.cell(numbers="rounded")).to_series().to_list()[:2] == ["4", "5"]


def test_a_wrong_kind_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown kind of column 'numbr'; did you mean 'number'"):
        as_kind(pl.Series("c", ["1", "2"]), "numbr")
    with pytest.raises(ValueError, match="column 'c' is to be a number, but holds a, b"):
        as_kind(pl.Series("c", ["a", "b"]), "number")
