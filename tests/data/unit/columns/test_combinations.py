"""Columns that rules propose: sizes of groups, sums, differences and ratios, days between dates."""

import polars as pl
import pytest

from bert_playground.data.columns.combinations import propose_columns, reaches
from bert_playground.data.columns.derived_columns import (
    DerivedColumn,
    add_derived,
    of_training_rows,
)
from bert_playground.data.columns.kinds import infer_kinds

NUM_GROUPS = 60


def propose(frame: pl.DataFrame, id_column: str | None = None) -> dict[str, DerivedColumn]:
    kinds = infer_kinds(frame, id_column=id_column)
    return {each.name: each for each in propose_columns(frame, kinds, id_column)}


def values(column: DerivedColumn, frame: pl.DataFrame) -> list[str | None]:
    return add_derived(frame, [column])[column.name].to_list()


@pytest.fixture
def travellers() -> pl.DataFrame:
    """Groups of one, two and three rows, numbered within."""
    ids = [f"{g:04d}_{i + 1:02d}" for g in range(NUM_GROUPS) for i in range(g % 3 + 1)]
    names = [f"Name{int(each[:4])}, Mr. {each}" for each in ids]
    numbers = [str(i % 7) for i in range(len(ids))]
    return pl.DataFrame({"Id": ids, "Name": names, "x": numbers})


def test_a_training_row_and_a_new_row_of_a_group_mean_the_same(travellers: pl.DataFrame) -> None:
    """A group of three, one of it put aside: two training rows see each other, and the new one sees both and itself."""
    group = travellers.filter(pl.col("Id").str.starts_with("0002"))
    rest = travellers.filter(pl.col("Id") != "0002_03")
    size = propose(rest, "Id")["Id start group size"]
    (seen,) = of_training_rows([size])
    assert values(seen, group[:2]) == ["2", "2"]
    assert values(size, group[2:]) == ["3"]


def test_a_group_that_training_did_not_see_has_size_one(travellers: pl.DataFrame) -> None:
    size = propose(travellers, "Id")["Id start group size"]
    new = pl.DataFrame({"Id": ["9999_01", None, "0000_02"]})
    assert values(size, new) == ["1", None, "2"]


def test_the_size_of_a_row_depends_on_no_other_row_of_its_table(travellers: pl.DataFrame) -> None:
    size = propose(travellers, "Id")["Id start group size"]
    assert values(size, travellers[5:6]) == values(size, travellers)[5:6]


def test_a_surname_and_the_number_within_the_group_are_proposed(travellers: pl.DataFrame) -> None:
    found = propose(travellers, "Id")
    assert {"Name start group size", "Id part 2 number"} <= found.keys()
    assert values(found["Id part 2 number"], pl.DataFrame({"Id": ["0002_03"]})) == ["03"]
    assert "Id group size" not in found


def test_groups_reach_into_a_table_that_shares_them(travellers: pl.DataFrame) -> None:
    size = propose(travellers, "Id")["Id start group size"]
    assert reaches(size, travellers)
    assert not reaches(size, pl.DataFrame({"Id": ["9999_01", "9999_02"]}))
    assert not reaches(size, pl.DataFrame({"other": ["1"]}))


def test_sums_differences_and_ratios_are_of_columns_that_share_a_unit_or_a_range() -> None:
    frame = pl.DataFrame(
        {
            "GroundSF": ["100", "200", "0", "400", None],
            "UpperSF": ["50", "0", "70", "0", "9"],
            "YearBuilt": ["1990", "2000", "1980", "1970", "1985"],
            "YrSold": ["2007", "2008", "2009", "2010", "2006"],
            "height": ["$1.5", "$1.7", "$1.8", "$1.9", "$1.6"],
        }
    )
    found = propose(frame)
    assert values(found["GroundSF + UpperSF"], frame) == ["150", "200", "70", "400", None]
    assert values(found["GroundSF - UpperSF"], frame) == ["50", "200", "-70", "400", None]
    assert values(found["GroundSF / UpperSF"], frame) == ["2", None, "0", None, None]
    assert values(found["YrSold - YearBuilt"], frame) == ["17", "8", "29", "40", "21"]
    assert not any("height" in name for name in found)


def test_days_between_dates_of_any_spelling() -> None:
    frame = pl.DataFrame(
        {"start": ["2020-02-27", "2020-03-01"], "end": ["01.03.2020", "31.03.2020"]}
    )
    found = propose(frame)
    assert values(found["days from start to end"], frame) == ["3", "30"]
