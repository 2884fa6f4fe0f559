"""prepare_folds: rows in no fold and uneven folds are said."""

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.data.prepare.folds import prepare_folds


def prepare(folder, frame: pl.DataFrame, **settings: object):
    frame.write_csv(folder / "train.csv")
    flags = {"data.train": folder / "train.csv", "data.target": "y", "cross_validation.folds": 3}
    return prepare_folds(load_config(None, {}, flags | settings)[0])


def test_rows_of_a_class_that_is_too_rare_are_in_no_fold_and_said(tmp_path) -> None:
    labels = ["a"] * 30 + ["b"] * 29 + ["c"]
    frame = pl.DataFrame({"x": np.arange(60) % 7, "y": labels})
    folds = prepare(tmp_path, frame)
    assert folds.assignments[0][59] == -1
    assert all(59 in fold.train for fold in folds.folds)
    assert any("1 row in no fold" in note for note in folds.prepared.notes)


def test_a_class_with_fewer_rows_than_folds_is_named(tmp_path) -> None:
    labels = ["a"] * 30 + ["b"] * 28 + ["c"] * 2
    folds = prepare(tmp_path, pl.DataFrame({"x": np.arange(60) % 7, "y": labels}))
    (said,) = (note for note in folds.prepared.notes if "fewer rows" in note)
    assert said.startswith("classes on fewer rows than the 3 folds: c (2);")
    assert set(folds.assignments[0][58:]) < {0, 1, 2}  # in folds all the same


def test_a_group_that_is_larger_than_a_fold_is_said(tmp_path) -> None:
    group = ["big"] * 40 + [f"g{i}" for i in range(20)]
    frame = pl.DataFrame({"x": np.arange(60) % 7, "group": group, "y": np.arange(60) % 2})
    folds = prepare(tmp_path, frame, **{"data.group_column": "group"})
    assert any("as groups stay together" in note for note in folds.prepared.notes)
    assert len({int(folds.assignments[0][row]) for row in range(40)}) == 1


@pytest.mark.parametrize("seed", range(5))
def test_as_many_groups_as_folds_are_a_fold_each(tmp_path, seed: int) -> None:
    frame = pl.DataFrame({"x": np.arange(60) % 7, "group": ["u", "v"] * 30, "y": [0, 0, 1, 1] * 15})
    settings = {"data.group_column": "group", "training.seed": seed}
    folds = prepare(tmp_path, frame, **settings, **{"cross_validation.folds": 2})
    assert [len(fold.val) for fold in folds.folds] == [30, 30]
    assert not any("--val" in note for note in folds.prepared.notes)


def test_fewer_groups_than_folds_are_refused_with_what_to_ask_for(tmp_path) -> None:
    frame = pl.DataFrame({"x": np.arange(60) % 7, "group": ["u", "v"] * 30, "y": [0, 0, 1, 1] * 15})
    with pytest.raises(ValueError, match=r"2 groups cannot be dealt to 3 folds; ask for fewer"):
        prepare(tmp_path, frame, **{"data.group_column": "group"})


def test_folds_in_time_are_answered_by_models_of_earlier_rows(tmp_path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 29)]
    frame = pl.DataFrame({"day": days, "x": np.arange(28) % 5, "y": np.arange(28) % 2})
    folds = prepare(tmp_path, frame, **{"data.time_column": "day"})
    assert folds.in_time
    for fold in folds.folds:
        assert fold.train.max() < fold.val.min()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.folds": "folds.csv"}, "give the file to --folds"),
        ({"cross_validation.folds": "f.csv", "cross_validation.repeats": 2}, "drawn already"),
    ],
)
def test_two_ways_to_split_are_refused(tmp_path, settings: dict, message: str) -> None:
    frame = pl.DataFrame({"x": np.arange(60) % 7, "y": np.arange(60) % 2})
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, frame, **settings)
