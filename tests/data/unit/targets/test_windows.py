"""Windows of series: the right values in the right places, and never a look ahead."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.targets.windows import Windows


def make_table(num_steps: int = 10, shuffle: bool = True) -> pl.DataFrame:
    """Two series, a counting 0, 1, 2 … and b 100, 101, …, in a random order of rows, as text."""
    rows = [
        {"shop": shop, "day": f"2024-01-{day + 1:02}", "sales": str(base + day), "rain": f"r{day}"}
        for shop, base in (("a", 0), ("b", 100))
        for day in range(num_steps)
    ]
    frame = pl.DataFrame(rows)
    return frame.sample(fraction=1, shuffle=True, seed=1) if shuffle else frame


def windows(lags: int = 3, horizon: int = 2, series: str | None = "shop") -> Windows:
    return Windows("sales", "day", series, lags, horizon)


def test_a_window_has_the_last_values_and_the_next() -> None:
    table = windows().label(make_table()).frame
    row = table.row(
        by_predicate=(pl.col("shop") == "b") & (pl.col("day") == "2024-01-05"), named=True
    )
    assert row == {
        "shop": "b",
        "day": "2024-01-05",
        "rain": "r4",
        "sales lag 1": "104",
        "sales lag 2": "103",
        "sales lag 3": "102",
        "sales +1": "105",
        "sales +2": "106",
    }
    assert table.height == 2 * 8


def test_the_first_windows_lack_lags_and_other_series_do_not_help() -> None:
    first = windows().label(make_table()).frame.filter(pl.col("day") == "2024-01-01")
    assert first["sales lag 1"].to_list() == ["0", "100"]
    assert first["sales lag 2"].to_list() == [None, None]


def test_the_latest_window_of_each_series_has_no_targets() -> None:
    latest = windows().latest(make_table())
    assert latest.rows() == [
        ("a", "2024-01-10", "r9", "9", "8", "7"),
        ("b", "2024-01-10", "r9", "109", "108", "107"),
    ]
    alone = windows(series=None).latest(make_table().filter(pl.col("shop") == "a"))
    assert alone["sales lag 1"].to_list() == ["9"]


@given(st.integers(0, 9), st.integers(1, 4), st.integers(1, 4))
def test_changing_the_future_never_changes_a_feature(day: int, lags: int, horizon: int) -> None:
    cut = windows(lags, horizon)
    frame = make_table()
    is_later = pl.col("day") > f"2024-01-{day + 1:02}"
    changed = frame.with_columns(
        sales=pl.when(is_later).then(pl.lit("-7")).otherwise("sales"),
        rain=pl.when(is_later).then(pl.lit("flood")).otherwise("rain"),
    )
    known = pl.col("day") <= f"2024-01-{day + 1:02}"
    before, after = (
        cut.label(table).frame.filter(known).drop(cut.targets) for table in (frame, changed)
    )
    assert before.equals(after)


def test_targets_end_when_their_last_step_happens() -> None:
    table = windows(horizon=3).label(make_table())
    days = table.ends / 86400
    origins = table.frame["day"].str.to_date().dt.epoch("d").to_numpy()
    np.testing.assert_array_equal(days, origins + 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("sales"), "sales"),
        (lambda f: f.drop("shop"), "shop"),
        (lambda f: f.vstack(f[:1]), "time of another one in their series"),
        (lambda f: f.head(1), "no series has 3 rows"),
        (
            lambda f: f.with_columns(pl.lit("1").alias("sales +1")),
            "columns that windows make: sales",
        ),
    ],
)
def test_tables_that_are_no_series_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        windows().label(change(make_table(shuffle=False)))


def test_windows_come_back_from_json() -> None:
    assert Windows.from_dict(windows().to_dict()) == windows()
