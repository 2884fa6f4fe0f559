"""Cells of a later table that mean what training saw and are written otherwise are read alike, or not touched at all."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import polars as pl
import pytest

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.profile import fit_profiles
from bert_playground.data.drift.repair import match_values
from bert_playground.data.templates.fit_features import fit_features

ROWS = 60
FLAGS = [i % 3 == 0 for i in range(ROWS)]
PRICES = [round(0.35 + 41.37 * i, 2) for i in range(ROWS)]
DAYS = [date(2020, 1, 13) + timedelta(days=11 * i) for i in range(ROWS)]
LISTS = [["a", "b"], ["c"], ["b", "a", "c"]] * (ROWS // 3)


def watch(cells: Sequence[str | None]) -> TableDrift:
    """A watcher of one column, `cell`, beside one that lets the table have a feature."""
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    features, _ = fit_features(frame)
    return TableDrift(fit_profiles(frame, ["cell"], features))


def reread(train: Sequence[str | None], later: Sequence[object]) -> list[str | None]:
    drift = watch(train)
    return drift.read(pl.DataFrame({"cell": later}, strict=False))["cell"].to_list()


@pytest.mark.parametrize(
    "now", ["True False", "true false", "yes no", "Y N", "t f", "on off", "1 0", "1.0 0.0"]
)
@pytest.mark.parametrize("then", ["True False", "yes no", "y n", "1 0"])
def test_yes_and_no_are_read_in_any_words(then: str, now: str) -> None:
    spelled = [then.split()[not flag] for flag in FLAGS]
    read = reread(spelled, [now.split()[not flag] for flag in FLAGS])
    same_number = then == "1 0" and now.startswith("1")
    assert (
        [float(cell or 2) for cell in read] == [float(c) for c in spelled]
        if same_number
        else read == spelled
    )


@pytest.mark.parametrize(
    ("write", "write_later"),
    [
        ("{:.2f}", lambda x: f"{x:.2f}".replace(".", ",")),
        ("{:.2f}", lambda x: f"{x:,.2f}"),
        ("{:.2f}", lambda x: f"{x:,.2f}".replace(",", " ")),
        ("{:.2f}", lambda x: f"{x:,.2f}".replace(",", "'")),
        ("{:.2f}", lambda x: f"{x:,.2f}".translate({44: ".", 46: ","})),
        ("${:,.2f}", lambda x: f"{x:.2f}".replace(".", ",")),
    ],
)
def test_numbers_of_another_country_are_read(
    write: str, write_later: Callable[[float], str]
) -> None:
    read = reread([write.format(price) for price in PRICES], [write_later(p) for p in PRICES])
    assert [float(cell or 0) for cell in read] == PRICES


def test_powers_of_ten_are_read_behind_a_decimal_comma() -> None:
    train = ["0.5", "5.2e-06", "1e-07"] * 20
    assert reread(train, ["0,5", "5,2e-06", "1e-07"]) == ["0.5", "5.2e-6", "1e-07"]


def test_a_decimal_point_is_read_where_training_had_commas() -> None:
    train = [f"{price:.2f}".replace(".", ",") for price in PRICES]
    assert reread(train, [f"{price:.2f}" for price in PRICES])[1] == "41,72"


@pytest.mark.parametrize(
    "later", ["%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y%m%d", "%b %d, %Y", "%d.%m.%y"]
)
def test_dates_of_another_format_are_read(later: str) -> None:
    train = [str(day) for day in DAYS]
    assert reread(train, [day.strftime(later) for day in DAYS]) == train


def test_the_time_of_day_stays() -> None:
    train = [day.strftime("%d.%m.%Y 10:30") for day in DAYS]
    assert reread(train, [f"{day} 17:05:00" for day in DAYS])[0] == "13.01.2020 17:05:00"


@pytest.mark.parametrize("between", ["|", ";", ", "])
def test_lists_between_other_signs_are_read(between: str) -> None:
    train = ["|".join(items) for items in LISTS]
    assert reread(train, [between.join(items).upper() for items in LISTS]) == train


@pytest.mark.parametrize(
    ("known", "cell", "meant"),
    [
        (["Gold", "Iron"], "  GOLD\u00a0", "Gold"),
        (["New York", "Rome"], "new  york", "New York"),
        (["Caf\u00e9", "Bar"], "cafe\u0301", "Caf\u00e9"),
        (["101", "x"], "101.0", "101"),
        (["01234", "x"], "1234", "01234"),
        (["a", "A", "b"], "a ", None),  # two readings
        (["7", "07", "x"], "7.0", None),
        (["yes", "no", "maybe"], "1", None),  # no column of two values
        (["m", "f"], "true", None),
        (["Gold", "Iron"], "silver", None),
    ],
)
def test_a_category_has_one_reading_or_none(known: list[str], cell: str, meant: str | None) -> None:
    assert match_values(known, pl.Series([cell])).to_list() == [meant]


@pytest.mark.parametrize(
    ("train", "later"),
    [
        ([str(day) for day in DAYS], ["03/04/2020", "05/06/2020"]),  # day or month first
        ([str(price) for price in PRICES], ["12,50", "13.75"]),  # a mixture
        ([str(price) for price in PRICES], ["12.50 kg", "9.75 kg"]),  # a unit of its own
        ([f"{price} kg" for price in PRICES], ["12.50 lb", "9.75 lb"]),
        (["|".join(items) for items in LISTS], ["x;y", "y"]),
    ],
)
def test_what_has_no_single_reading_stays(train: list[str], later: list[str]) -> None:
    drift = watch(train)
    frame = pl.DataFrame({"cell": later * 20})
    assert drift.read(frame) is frame
    assert drift.findings()
    assert not any(finding.is_repaired for finding in drift.findings())


def test_a_table_written_as_in_training_stays_the_same_object() -> None:
    for cells in ([str(f) for f in FLAGS], [f"{p:,.2f}" for p in PRICES], [str(d) for d in DAYS]):
        frame = pl.DataFrame({"cell": cells[::-1]})
        assert watch(cells).read(frame) is frame


def test_thousands_that_might_be_decimals_are_told_by_the_range_of_training() -> None:
    assert reread([str(1000 + i) for i in range(ROWS)], ["1,007", "1,042"]) == ["1007", "1042"]
    assert reread([f"{1 + i / 100}" for i in range(ROWS)], ["1,007", "1,042"]) == ["1.007", "1.042"]


def test_a_repair_does_not_depend_on_the_order_of_rows_nor_on_other_categories() -> None:
    train = [str(flag) for flag in FLAGS]
    once = reread(train, ["1", "0", "perhaps"])
    assert once == ["True", "False", "perhaps"]
    assert reread(train, ["perhaps", "0", "1"]) == once[::-1]
