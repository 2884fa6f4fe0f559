"""Data sets of the user's own, by YAML."""

from pathlib import Path

import polars as pl
import pytest

from bert_playground.config.datasets import DATASETS, load_datasets
from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.prepare import prepare

SHOP = """
shop:
  columns: [store, stars, price]
  target: stars
  task: ordinal
  metric: mae
  template: sentence
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_file_the_known_ones_are_there(folder: Path) -> None:
    assert load_datasets() is DATASETS


def test_own_entries_decide_target_task_metric_and_template(folder: Path) -> None:
    (folder / "datasets.yaml").write_text(SHOP)
    frame = pl.DataFrame(
        {
            "store": [f"s{i % 5}" for i in range(60)],
            "stars": [1 + i % 3 for i in range(60)],
            "price": [i % 11 for i in range(60)],
        }
    )
    frame.write_csv("train.csv")
    tables = prepare(RunConfig(data=DataSection(train=Path("train.csv"))))
    assert (tables.schema.target, tables.schema.task) == ("stars", "ordinal")
    assert (tables.schema.template, tables.schema.metric) == ("sentence", "mae")
    given = DataSection(train=Path("train.csv"), target="price", template="markdown")
    other = prepare(RunConfig(data=given))
    assert (other.schema.template, other.schema.metric) == ("markdown", None)


def test_an_entry_of_the_same_name_replaces_a_known_one(folder: Path) -> None:
    (folder / "mine.yaml").write_text(SHOP.replace("shop:", "titanic:"))
    found = load_datasets(Path("mine.yaml"))
    assert found["titanic"].target == "stars"
    assert set(found) == set(DATASETS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shop: 3", ["shop", "expected keys under it"]),
        ("shop: {columns: [a], traget: b}", ["unknown key 'traget'", "did you mean 'target'", "lacks 'target'"]),
        ("shop: {columns: a, target: b}", ["should be a list"]),
        ("shop: {columns: [a], target: b, task: regresion}", ["did you mean 'regression'"]),
        ("a: {target: b}\nc: {columns: [d]}", ["a: lacks 'columns'", "c: lacks 'target'"]),
    ],
)  # fmt: skip
def test_all_mistakes_are_named(folder: Path, text: str, words: list[str]) -> None:
    (folder / "datasets.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"datasets\.yaml has mistakes") as error:
        load_datasets()
    for word in words:
        assert word in str(error.value)


def test_the_entry_in_the_guide_is_read(folder: Path, root: Path) -> None:
    guide = (root / "docs/guides/splits.md").read_text()
    (folder / "datasets.yaml").write_text(guide.split("```text\n")[1].split("```")[0])
    shop = load_datasets()["shop"]
    assert (shop.target, shop.metric, shop.template) == ("stars", "quadratic_kappa", "natural")


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sets\.yaml.*data\.registry"):
        load_datasets(Path("sets.yaml"))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("architecture: brt", "unknown architecture 'brt'; did you mean 'bert'"),
        ("num_labels: five", "num_labels is 'five', expected a whole number"),
        ("metric: [a, b]", r"metric is \['a', 'b'\], expected text"),
        ("template: {a: b}", "template is .*expected text"),
    ],
)
def test_values_of_another_type_are_named(folder: Path, entry: str, fault: str) -> None:
    (folder / "datasets.yaml").write_text(
        f"{SHOP}  {entry}\n".replace("  metric: mae\n", "").replace("  template: sentence\n", "")
    )
    with pytest.raises(ValueError, match=f"datasets.yaml has mistakes:\n  shop: {fault}"):
        load_datasets()


def test_an_entry_without_a_value_leaves_the_default(folder: Path) -> None:
    (folder / "datasets.yaml").write_text("shop: {columns: [a], target: b, template: }\n")
    assert load_datasets()["shop"].template == "auto"


def test_a_target_that_the_table_lacks_is_an_error_of_the_entry(folder: Path) -> None:
    (folder / "datasets.yaml").write_text("shop: {columns: [store, price], target: starz}\n")
    (folder / "train.csv").write_text("store,price,stars\na,1,5\nb,2,3\n" * 1)
    with pytest.raises(ValueError, match=r"'starz'; did you mean 'stars'.*datasets.yaml"):
        prepare(RunConfig(data=DataSection(train=folder / "train.csv")))
