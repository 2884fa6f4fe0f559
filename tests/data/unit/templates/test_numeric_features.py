"""Numeric features: read as the text reads them, spread evenly, fitted on training rows alone."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.templates.numeric_features import (
    LARGEST_SHARE,
    MAX_KNOTS,
    NumericColumn,
    encode_numeric,
    fit_numeric,
    spread_evenly,
)

FRAME = pl.DataFrame(
    {
        "Id": [str(i) for i in range(40)],
        "age": [str(i % 20) for i in range(40)],
        "price": [f"${i},000.50" for i in range(1, 41)],
        "stars": [f"{i % 5}.0 out of 5 stars" for i in range(40)],
        "share": [f"{i} %" for i in range(40)],
        "day": [f"2020-01-{i % 28 + 1:02d}" for i in range(40)],
        "moment": [f"{i % 28 + 1:02d}.01.2020 {i % 24}:30" for i in range(40)],
        "town": ["ulm", "bonn"] * 20,
        "same": ["7"] * 40,
        "told": [str(i % 2) for i in range(40)],
    }
)


def fit(*values: str | None) -> NumericColumn:
    (column,) = fit_numeric(pl.DataFrame({"x": list(values)}), ["x"])
    return column


def test_auto_takes_numbers_and_dates_but_neither_id_nor_target_nor_constants() -> None:
    fitted = fit_numeric(FRAME, "auto", skip=("told",), not_auto=("Id",))
    assert [each.column for each in fitted] == ["age", "price", "stars", "share", "day", "moment"]


def test_off_takes_none() -> None:
    assert fit_numeric(FRAME, "off") == ()


@pytest.mark.parametrize("name", ["age", "price", "stars", "share", "day", "moment"])
def test_every_spelling_keeps_the_order_of_what_it_means(name: str) -> None:
    (column,) = fit_numeric(FRAME, [name])
    got = column.encode(FRAME[name])
    meant = {
        "age": [i % 20 for i in range(40)],
        "price": list(range(40)),
        "stars": [i % 5 for i in range(40)],
        "share": list(range(40)),
        "day": [i % 28 for i in range(40)],
        "moment": [24 * (i % 28) + i % 24 for i in range(40)],
    }[name]
    assert (np.argsort(got, kind="stable") == np.argsort(meant, kind="stable")).all()
    assert (got.min(), got.max()) == (0, 1)
    assert got.dtype == np.float32


def test_shares_are_those_of_the_training_rows() -> None:
    column = fit(*[str(i * i) for i in range(101)])
    assert column.encode(pl.Series("x", ["0", "2500", "10000"])).tolist() == [0, 0.5, 1]


def test_between_two_values_is_a_straight_line() -> None:
    column = fit("0", "10", "20")
    assert column.encode(pl.Series("x", ["5", "12"])).tolist() == pytest.approx([0.25, 0.6])


def test_what_lies_beyond_the_training_rows_is_their_end() -> None:
    column = fit("1", "2", "3")
    far = column.encode(pl.Series("x", ["-5", "9", "1e308", "-1e308", "inf", "-inf"]))
    assert far.tolist() == [0, 1, 1, 0, 1, 0]


def test_what_is_no_number_is_nan() -> None:
    got = fit("1", "2", "3").encode(pl.Series("x", [None, "", "?", "NA", "nan", "unknown", " 2 "]))
    assert np.isnan(got[:-1]).all()
    assert got[-1] == 0.5


def test_a_column_without_any_value_at_predict_time_is_nan() -> None:
    got = fit("1", "2", "3").encode(pl.Series("x", [None, None], dtype=pl.String))
    assert np.isnan(got).all()


def test_infinite_and_huge_training_values_do_not_break_the_fit() -> None:
    column = fit("1", "2", "3", "inf", "-inf", "1e308")
    got = column.encode(pl.Series("x", ["-inf", "1", "2", "3", "inf"]))
    assert np.isfinite(got).all()
    assert (np.diff(got) > 0).all()


def test_a_value_on_very_many_rows_leaves_room_for_the_others() -> None:
    column = fit(*["0"] * 900, *[str(i) for i in range(1, 101)])
    first = float(column.encode(pl.Series("x", ["1"]))[0])
    assert first < LARGEST_SHARE * 10
    assert float(column.encode(pl.Series("x", ["50"]))[0]) < 0.8


def test_few_points_are_kept_of_many_values() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    places, shares = spread_evenly(values)
    assert len(places) == len(shares) <= MAX_KNOTS
    exact = (np.sort(values).searchsorted(values) + 0.5) / len(values)
    assert np.abs(np.interp(values, places, shares) - exact).max() < 2 / MAX_KNOTS


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50))
def test_shares_rise_with_the_values(numbers: list[float]) -> None:
    places, shares = spread_evenly(np.array(numbers))
    assert (np.diff(places) > 0).all()
    assert (np.diff(shares) > 0).all()
    assert shares.min() >= 0
    assert shares.max() <= 1


def test_rows_that_are_not_fitted_on_change_nothing() -> None:
    fitted = fit_numeric(FRAME[:20], ["age", "price"])
    other = FRAME[20:].with_columns(age=pl.lit("999"), price=pl.lit("$5"))
    assert fit_numeric(pl.concat([FRAME[:20], other])[:20], ["age", "price"]) == fitted


def test_what_was_saved_is_read_back_exactly() -> None:
    fitted = fit_numeric(FRAME, "auto")
    saved = json.loads(json.dumps([column.to_dict() for column in fitted]))
    read = tuple(NumericColumn.from_dict(state) for state in saved)
    assert read == fitted
    assert np.array_equal(encode_numeric(read, FRAME), encode_numeric(fitted, FRAME))


def test_kinds_may_be_given() -> None:
    odd = pl.DataFrame({"day": ["03/04/2020", "05/03/2020", "01/06/2020"]})
    (month_first,) = fit_numeric(odd, ["day"])
    (day_first,) = fit_numeric(odd, ["day"], given_kinds={"day": "%d/%m/%Y"})
    assert np.argsort(month_first.encode(odd["day"])).tolist() == [2, 0, 1]
    assert np.argsort(day_first.encode(odd["day"])).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("agee", "town"), "lacks 1 column.*'agee'; did you mean 'age'"),
        (("town", "same", "age"), r"town \(such as 'ulm'\), same \(such as '7'\); leave them out"),
        (("age", "told"), "names told, which must not be read: a target"),
    ],
)
def test_columns_that_cannot_stand_there_are_named(asked: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_numeric(FRAME, asked, skip=("told",))
