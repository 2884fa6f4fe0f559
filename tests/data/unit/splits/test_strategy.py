"""Splits as the configuration asks for them, folds files, and windows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare, write_table_folds
from bert_playground.data.reading.table import as_text

ROWS = 120


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rows in a random order: households of three, a day each, and a rare class."""
    random = np.random.default_rng(0)
    number = random.permutation(ROWS)
    frame = pl.DataFrame(
        {
            "id": np.arange(ROWS),
            "home": [f"home {n // 3}" for n in number],
            "day": [f"2024-{1 + n // 28:02}-{1 + n % 28:02}" for n in number],
            "age": random.integers(1, 80, ROWS),
            "y": (number % 20 == 0).astype(int),
        }
    )
    frame.write_csv(tmp_path / "train.csv")
    return tmp_path / "train.csv"


def options(path: Path, **more: object) -> DataSection:
    return DataSection(train=path, target="y", task="binary", id_column="id", **more)


def test_a_split_by_time_has_the_latest_rows(path: Path) -> None:
    for more in (
        {"split": "time"},
        {"time_column": "day"},
        {"time_column": "day", "split": "time"},
    ):
        tables = prepare(RunConfig(data=options(path, **more)))
        assert tables.train["day"].max() < tables.val["day"].min()
        assert tables.val.height == pytest.approx(24, abs=1)
        assert any("the latest by day" in said for said in tables.notes)


@pytest.mark.parametrize("split", ["grouped", "stratified_grouped", "auto"])
def test_a_grouped_split_keeps_homes_whole(path: Path, split: str) -> None:
    tables = prepare(RunConfig(data=options(path, split=split, group_column="home")))
    assert not set(tables.train["home"]) & set(tables.val["home"])


def test_a_stratified_split_keeps_shares_and_not_groups(path: Path) -> None:
    tables = prepare(RunConfig(data=options(path, split="stratified")))
    assert set(tables.train["home"]) & set(tables.val["home"])
    assert tables.val["y"].cast(int).sum() in (1, 2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"split": "time", "group_column": "home"}, "group_column 'home'"),
        ({"split": "grouped", "time_column": "day"}, "time_column 'day'"),
        ({"split": "grouped", "group_column": "hom"}, "did you mean 'home'"),
        ({"split": "time", "time_column": "home"}, "neither dates nor numbers"),
        ({"split": "grouped", "drop_columns": ("home", "day")}, "name one with data.group_column"),
    ],
)
def test_splits_that_cannot_be_are_refused(path: Path, more, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(RunConfig(data=options(path, **more)))


@pytest.mark.parametrize("more", [{}, {"split": "time"}, {"group_column": "home"}])
def test_every_fold_of_the_file_splits_the_table(path: Path, tmp_path: Path, more) -> None:
    file = tmp_path / "folds.csv"
    written, said = write_table_folds(options(path, **more), 4, seed=0, path=file)
    assert any(sentence.startswith("4 folds: ") for sentence in said)
    seen = []
    for fold in range(4):
        tables = prepare(RunConfig(data=options(path, folds=file, fold=fold, split_seed=99)))
        assert not set(tables.train["id"]) & set(tables.val["id"])
        seen += tables.val["id"].to_list()
        if more:
            column = "day" if "split" in more else "home"
            assert not set(tables.train[column]) & set(tables.val[column])
        if "split" in more:
            assert tables.train["day"].max() < tables.val["day"].min()
        else:
            assert tables.train.height + tables.val.height == ROWS
    assert sorted(seen) == sorted(written.drop_nulls()["id"])


def test_folds_do_not_depend_on_the_order_of_the_rows(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "folds.csv"
    write_table_folds(options(path), 3, seed=0, path=file)
    config = RunConfig(data=options(path, folds=file, fold=1))
    first = prepare(config).val["id"]
    pl.read_csv(path).reverse().write_csv(path)
    assert first.sort().equals(prepare(config).val["id"].sort())


def test_a_prepared_table_goes_from_fold_to_fold_without_being_read_again(
    path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "folds.csv"
    write_table_folds(options(path), 4, seed=0, path=file)
    first = prepare(RunConfig(data=options(path, folds=file)))
    expected = prepare(RunConfig(data=options(path, folds=file, fold=2)))
    path.unlink()
    third = first.of_fold(2)
    assert third.val.equals(expected.val)
    assert third.train.equals(expected.train)
    assert third.notes == expected.notes


def test_a_fold_of_a_table_without_folds_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="bert data folds"):
        prepare(RunConfig(data=options(path))).of_fold(1)


def test_rare_classes_are_said_with_their_remedies(path: Path) -> None:
    said = " ".join(prepare(RunConfig(data=options(path))).notes)
    assert "imbalanced: classes on few rows: 1 (5.0 %)" in said
    assert "head.class_weights: balanced or head.use_focal_loss: true" in said


def series(folder: Path) -> Path:
    days = [f"2024-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(60)]
    frame = pl.DataFrame(
        [
            {"shop": shop, "day": day, "sales": 10 * k + n % 7, "rain": n % 3}
            for k, shop in enumerate("ab")
            for n, day in enumerate(days)
        ]
    )
    frame.sample(fraction=1, shuffle=True, seed=0).write_csv(folder / "train.csv")
    return folder / "train.csv"


WINDOWS = {"target": "sales", "horizon": 3, "lags": 4, "series_column": "shop"}


def test_no_training_window_reaches_into_validation(tmp_path: Path) -> None:
    tables = prepare(RunConfig(data=DataSection(train=series(tmp_path), **WINDOWS)))
    train, val = (sorted(set(rows["day"])) for rows in (tables.train, tables.val))
    days = sorted({*train, *val})
    every = [f"2024-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(60)]
    # Targets of the last training window are at most three days later: the first validation day at the latest.
    assert every.index(train[-1]) + 3 <= every.index(val[0])
    assert days[0] == every[0]
    assert tables.schema.task == "timeseries"
    assert tables.schema.target == "sales +1,sales +2,sales +3"


def test_windows_survive_saving_and_answer_the_latest_moment(tmp_path: Path) -> None:
    path = series(tmp_path)
    tables = prepare(RunConfig(data=DataSection(train=path, **WINDOWS)))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert "sales lag 4" in pipeline.columns
    assert not {"sales", "sales +1"} & set(pipeline.columns)
    pipeline.save(tmp_path / "kept")
    loaded = TextPipeline.load(tmp_path / "kept")
    assert loaded.windows == tables.schema.windows
    frame = as_text(pl.read_csv(path))
    rows, ids = loaded.prediction_rows(frame)
    assert ids is not None
    assert (ids.name, ids.to_list()) == ("shop", ["a", "b"])
    assert rows["day"].to_list() == [frame["day"].max()] * 2
    assert loaded.tokenize(rows).num_rows == 2
    labelled = loaded.rows_with_labels(frame)
    labels = loaded.tokenize(labelled).labels
    assert labels is not None
    assert labels.shape == (2 * 57, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"target": None}, "name the column whose next values are wanted"),
        ({"task": "regression"}, "windows are of task timeseries"),
        ({"split": "stratified"}, "it would look ahead"),
        ({"horizon": 50}, r"reaches into the validation rows.*shorter data\.horizon"),
        ({"horizon": 60}, "no series has 61 rows"),
        ({"series_column": "shops"}, "did you mean 'shop'"),
        ({"time_column": "rain"}, "time of another one in their series"),
        ({"horizon": None}, "data.series_column belongs to windows"),
    ],
)
def test_windows_that_cannot_be_are_refused(tmp_path: Path, more, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(RunConfig(data=DataSection(train=series(tmp_path), **{**WINDOWS, **more})))
