"""Splits: seeded, stratified, and groups stay whole."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.splits.split import find_groups, make_strata, number_groups, split_rows


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.5))
def test_split_is_seeded_disjoint_and_stratified(seed: int, fraction: float) -> None:
    strata = np.arange(200) % 4
    train, val = split_rows(strata, None, fraction, seed)
    again = split_rows(strata, None, fraction, seed)
    np.testing.assert_array_equal(val, again[1])
    assert sorted([*train, *val]) == list(range(200))
    shares = np.bincount(strata[val], minlength=4)
    assert np.abs(shares - 50 * fraction).max() <= 1


@given(st.integers(0, 100), st.integers(2, 60))
def test_groups_never_straddle(seed: int, num_groups: int) -> None:
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, num_groups, 300)
    groups[0] = num_groups  # at least two groups
    strata = generator.integers(0, 2, 300)
    try:
        train, val = split_rows(strata, groups, 0.3, seed)
    except ValueError:
        return  # too few groups for both sides
    assert not set(groups[train]) & set(groups[val])


def test_group_splits_have_the_wished_size() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), generator.integers(1, 6, 400))
    strata = generator.integers(0, 2, len(groups))
    shares = [len(split_rows(strata, groups, 0.2, seed)[1]) / len(groups) for seed in range(10)]
    assert min(shares) > 0.18
    assert max(shares) < 0.22


def test_every_class_keeps_a_training_row() -> None:
    strata = np.array([0] * 50 + [1] * 50 + [2])
    for seed in range(30):
        train, _ = split_rows(strata, None, 0.4, seed)
        assert 2 in strata[train]


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot be split.*--val"):
        split_rows(np.zeros(1, dtype=np.int64), None, 0.2, 0)


def test_shared_codes_and_equal_texts_make_groups() -> None:
    frame = pl.DataFrame(
        {
            "Ticket": [f"A{i // 2 if i < 10 else i}" for i in range(100)],
            "Cabin": [None] * 98 + ["C1", "C2"],
            "Sex": ["m", "f"] * 50,
        }
    )
    found = find_groups(frame)
    assert found is not None
    groups, columns = found
    assert columns == ("Ticket",)
    assert len(set(groups)) == 95
    assert groups[0] == groups[1] != groups[2]


def test_chains_of_two_codes_are_one_group() -> None:
    rows = [(f"T{i}", f"C{i}") for i in range(40)]
    rows[0:3] = [("T0", "C0"), ("T0", "C2"), ("T5555", "C2")]
    found = find_groups(pl.DataFrame(rows, schema=["ticket", "cabin"], orient="row"))
    assert found is not None
    assert len(set(found[0][:3])) == 1


def test_unique_codes_group_nothing() -> None:
    assert (
        find_groups(pl.DataFrame({"code": [f"A{i}" for i in range(50)], "sex": ["m", "f"] * 25}))
        is None
    )


def test_rows_without_a_group_stand_alone() -> None:
    groups = number_groups(pl.Series(["a", None, "a", ""]))
    assert groups[0] == groups[2]
    assert len({groups[0], groups[1], groups[3]}) == 3


def test_regression_strata_are_quantiles() -> None:
    strata = make_strata(np.arange(1000.0), is_classification=False)
    assert np.bincount(strata).tolist() == pytest.approx([100] * 10, abs=1)
