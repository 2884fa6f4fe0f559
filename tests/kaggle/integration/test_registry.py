"""Each entry of datasets.yaml says what its files say; without the files, as in a fresh clone, nothing can be compared."""

from pathlib import Path

import polars as pl
import pytest

from bert_playground.config.datasets import DATASETS, find_dataset
from bert_playground.data.prepare import prepare
from bert_playground.data.reading.table import read_table
from bert_playground.tasks import TASKS
from bert_playground.training.metrics.scorer import look_up_metric

DATA = Path(__file__).parents[4] / "shared/data"
NEEDED = ("titanic", "house-prices", "nlp-disaster", "spaceship-titanic")


def folder_of(name: str) -> Path:
    """The files of an entry."""
    if not (DATA / name).is_dir():
        pytest.skip(f"the files of {name} are not beside this checkout")
    return DATA / name


def test_the_best_known_competitions_are_there() -> None:
    assert set(NEEDED) <= set(DATASETS)
    for name in NEEDED:
        slug = DATASETS[name].slug
        assert slug
        assert find_dataset(slug) is DATASETS[name]


def test_every_set_beside_this_checkout_has_an_entry() -> None:
    if not DATA.is_dir():
        pytest.skip("no data beside this checkout")
    assert {path.name for path in DATA.iterdir() if path.is_dir()} <= set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_metric_and_split_fit_the_task(name: str) -> None:
    entry = DATASETS[name]
    assert entry.task in TASKS
    look_up_metric(entry.metric or "", entry.task)
    assert (entry.split == "time") == (entry.time_column is not None)
    assert entry.group_column is None or entry.split == "stratified_grouped"


@pytest.mark.parametrize("name", DATASETS)
def test_an_entry_is_what_the_files_say(name: str) -> None:
    entry, folder = DATASETS[name], folder_of(name)
    train = pl.read_csv(folder / "train.csv", infer_schema=False)
    targets = entry.target.split(",")
    assert {*targets, *entry.columns, entry.id_column} <= set(train.columns)
    for column in (entry.group_column, entry.time_column):
        assert column is None or column in train.columns
    if entry.group_column is not None:
        assert train[entry.group_column].n_unique() < train.height
    if entry.num_labels is not None:
        count = len(targets) if len(targets) > 1 else train[entry.target].n_unique()
        assert count == entry.num_labels
    if entry.sample_file is None:
        assert not list(folder.glob("*ubmission*"))
        return
    sample = read_table(folder / entry.sample_file)
    assert sample.columns == [entry.id_column, *targets]
    test = pl.read_csv(folder / "test.csv", infer_schema=False)
    assert sample[entry.id_column].equals(test[entry.id_column])
    assert not set(targets) & set(test.columns)


@pytest.mark.parametrize("name", ["titanic", "house-prices", "bike-sharing"])
@pytest.mark.quick_for("titanic")
def test_its_folds_can_be_drawn(name: str, tmp_path: Path) -> None:
    from bert_playground.config.load import load_config
    from bert_playground.data.prepare import write_table_folds

    entry = DATASETS[name]
    known = {
        key: value
        for key in ("target", "id_column", "task", "split", "group_column", "time_column")
        if (value := getattr(entry, key)) is not None
    }
    train = folder_of(name) / "train.csv"
    config, _ = load_config({"data": {"train": str(train), **known}}, {})
    written, _ = write_table_folds(config.data, 5, 42, tmp_path / "folds.csv")
    assert written.height == read_table(train).height
    folded, _ = load_config(
        {"data": {"train": str(train), **known, "folds": str(tmp_path / "folds.csv"), "fold": 1}},
        {},
    )
    assert prepare(folded).val.height > 0
