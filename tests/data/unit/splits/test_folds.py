"""Folds: seeded, stratified, groups whole, time in order; the file gives them back for any order of the rows."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.splits.folds import read_folds, rows_of_fold, write_folds
from bert_playground.data.splits.split import draw_folds, draw_time_folds, split_by_time


@given(st.integers(0, 1000), st.integers(2, 7))
def test_folds_are_seeded_and_stratified(seed: int, num_folds: int) -> None:
    strata = np.arange(210) % 3
    folds = draw_folds(strata, None, num_folds, seed)
    np.testing.assert_array_equal(folds, draw_folds(strata, None, num_folds, seed))
    for stratum in range(3):
        counts = np.bincount(folds[strata == stratum], minlength=num_folds)
        assert counts.max() - counts.min() <= 2


@given(st.integers(0, 100), st.integers(2, 5), st.integers(6, 60))
def test_groups_are_in_one_fold(seed: int, num_folds: int, num_groups: int) -> None:
    generator = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(num_groups), generator.integers(0, num_groups, 200)])
    folds = draw_folds(generator.integers(0, 2, len(groups)), groups, num_folds, seed)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in range(num_groups))


def test_the_only_row_of_a_class_is_always_trained_on() -> None:
    strata = np.array([0] * 50 + [1] * 49 + [2])
    folds = draw_folds(strata, None, 5, seed=0)
    assert folds[-1] == -1
    assert (folds[:-1] >= 0).all()
    for fold in range(5):
        train, val = rows_of_fold(folds, fold, in_time=False)
        assert set(strata[val]) <= set(strata[train])
        assert 99 in train


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="3 groups cannot be dealt to 4 folds"):
        draw_folds(np.zeros(9, dtype=int), np.arange(9) % 3, 4, seed=0)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=80), st.floats(0.05, 0.9))
def test_a_split_by_time_never_looks_ahead(times: list[int], fraction: float) -> None:
    moments = np.array(times, dtype=np.float64)
    if len(set(times)) == 1:
        with pytest.raises(ValueError, match="the same time"):
            split_by_time(moments, fraction)
        return
    train, val = split_by_time(moments, fraction)
    assert sorted([*train, *val]) == list(range(len(times)))
    assert moments[train].max() < moments[val].min()


@given(st.lists(st.integers(0, 200), min_size=12, max_size=80), st.integers(2, 4))
def test_time_folds_are_judged_by_what_precedes(times: list[int], num_folds: int) -> None:
    moments = np.array(times, dtype=np.float64)
    try:
        folds = draw_time_folds(moments, num_folds)
    except ValueError:
        return  # too few different times
    for fold in range(num_folds):
        train, val = rows_of_fold(folds, fold, in_time=True)
        assert moments[train].max() < moments[val].min()


def test_the_file_fits_rows_in_any_order(tmp_path) -> None:
    ids = pl.Series("id", [f"{n:03}" for n in range(20)])
    folds = np.arange(20) % 3 - 1
    write_folds(tmp_path / "folds.csv", folds, ids, in_time=False)
    order = np.random.default_rng(0).permutation(20)
    found, in_time = read_folds(tmp_path / "folds.csv", pl.DataFrame({"id": ids[order]}))
    np.testing.assert_array_equal(found, folds[order])
    assert not in_time


def test_rows_without_an_id_are_counted(tmp_path) -> None:
    written = write_folds(tmp_path / "folds.csv", np.array([0, 1, 0]), None, in_time=True)
    assert written.columns == ["row_number", "time_fold"]
    found, in_time = read_folds(tmp_path / "folds.csv", pl.DataFrame({"a": ["x", "y", "z"]}))
    np.testing.assert_array_equal(found, [0, 1, 0])
    assert in_time


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,fold\n1,0\n2,1\n", ["file lacks 1 rows, such as id 3"]),
        ("id,fold\n1,0\n2,1\n3,0\n4,1\n", ["table lacks 1 rows, such as id 4"]),
        ("id,fold\n1,0\n2,1\n2,0\n3,0\n", ["id 2 several times"]),
        ("id,fold\n1,a\n2,-1\n3,0\n", ["no numbers from 0 on", "-1, a"]),
        ("id,part\n1,0\n2,1\n3,0\n", ["id, part", "expected two"]),
        ("Id,fold\n1,0\n2,1\n3,0\n", ["'Id'", "did you mean 'id'"]),
    ],
)
def test_another_tables_file_is_refused(tmp_path, content, words) -> None:
    (tmp_path / "folds.csv").write_text(content)
    with pytest.raises(ValueError, match=r"folds|column") as error:
        read_folds(tmp_path / "folds.csv", pl.DataFrame({"id": ["1", "2", "3"]}))
    for word in words:
        assert word in str(error.value)


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no fold 3, only 0, 1"):
        rows_of_fold(np.array([0, 1, -1]), 3, in_time=False)


def test_repeated_ids_are_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="several rows: b"):
        write_folds(
            tmp_path / "f.csv", np.zeros(3), pl.Series("id", ["a", "b", "b"]), in_time=False
        )
    assert not list(tmp_path.iterdir())
