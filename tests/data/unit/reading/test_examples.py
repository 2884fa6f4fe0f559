"""read_examples: a table out of what a Python program holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bert_playground.data.reading.examples import read_examples

TEXTS, LABELS = ["warm", "small", "great"], ["good", "bad", "good"]
RECORDS = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
FRAME = pl.DataFrame(RECORDS)


class Numbered:
    """As datasets of other libraries: a length, and items by number."""

    def __init__(self, item: Callable[[int], Any]) -> None:
        self.item = item

    def __len__(self) -> int:
        return len(TEXTS)

    def __getitem__(self, number: int) -> Any:
        return self.item(number)


SOURCES = {
    "polars": FRAME,
    "lazy": FRAME.lazy(),
    "pandas": pd.DataFrame(RECORDS),
    "records": RECORDS,
    "columns": {"text": TEXTS, "label": LABELS},
    "array columns": {"text": np.array(TEXTS), "label": np.array(LABELS)},
    "texts and labels": (TEXTS, LABELS),
    "arrays": (np.array(TEXTS), np.array(LABELS)),
    "frame and labels": (FRAME.select("text"), LABELS),
    "pandas X and y": (pd.DataFrame({"text": TEXTS}), pd.Series(LABELS, name="label")),
    "records and labels": ([{"text": text} for text in TEXTS], LABELS),
    "pairs": list(zip(TEXTS, LABELS, strict=True)),
    "dataset of records": Numbered(lambda number: RECORDS[number]),
    "dataset of pairs": Numbered(lambda number: (TEXTS[number], LABELS[number])),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_table(name: str) -> None:
    assert read_examples(SOURCES[name]).frame.equals(FRAME)


@pytest.mark.parametrize("kind", [str, Path, lambda path: [str(path)]])
def test_files_are_read_as_ever(kind: Callable[[Path], Any], tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    assert read_examples(kind(tmp_path / "t.csv")).frame.equals(FRAME)


def test_labels_that_stand_apart_are_the_target() -> None:
    assert read_examples((TEXTS, LABELS)).target == "label"
    assert read_examples((TEXTS, LABELS), "kind").target == "kind"
    assert read_examples((TEXTS, pd.Series(LABELS, name="y"))).target == "y"
    assert read_examples(RECORDS).target is None


def test_numbers_of_other_libraries_are_numbers() -> None:
    pairs = [(text, np.int64(number)) for number, text in enumerate(TEXTS)]
    assert read_examples(pairs).frame["label"].to_list() == ["0", "1", "2"]
    missing = read_examples([{"a": 1.5, "b": "x"}, {"a": float("nan"), "b": "y"}, {"b": "z"}])
    assert missing.frame["a"].to_list() == ["1.5", None, None]


def test_a_matrix_of_labels_is_a_column_for_each_and_lists_are_lists() -> None:
    matrix = read_examples((TEXTS, np.array([[1, 0], [0, 1], [1, 1]])))
    assert matrix.target == "label_0,label_1"
    assert matrix.frame["label_1"].to_list() == ["0", "1", "1"]
    named = read_examples((TEXTS, [[1, 0], [0, 1], [1, 1]]), "red,tall")
    assert named.target == "red,tall"
    lists = read_examples((TEXTS, [["red", "tall"], ["red"], []]))
    assert lists.frame["label"].to_list() == ["red|tall", "red", ""]
    column = read_examples((TEXTS, np.array([[1], [0], [1]])))
    assert column.frame["label"].to_list() == ["1", "0", "1"]


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
@pytest.mark.parametrize("form", ["pair", "pairs", "records", "columns", "pandas"])
def test_lists_of_labels_may_be_tuples_and_sets(kind: type, form: str) -> None:
    labels = [kind(("red", "tall")), kind(("red",)), kind(())]
    rows = list(zip(TEXTS, labels, strict=True))
    source = {
        "pair": (TEXTS, labels),
        "pairs": rows,
        "records": [{"text": text, "label": each} for text, each in rows],
        "columns": {"text": TEXTS, "label": labels},
        "pandas": pd.DataFrame({"text": TEXTS, "label": labels}),
    }[form]
    assert read_examples(source).frame["label"].to_list() == ["red|tall", "red", ""]


def test_sets_of_numbers_are_no_matrix() -> None:
    read = read_examples((TEXTS, [{1, 2}, {2, 3}, {1, 3}]))
    assert read.target == "label"
    assert read.frame["label"].to_list() == ["1|2", "2|3", "1|3"]


class Batches:
    """As a DataLoader: iterated, not numbered."""

    dataset = SOURCES["dataset of pairs"]

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        (None, TypeError, "the data is None, expected the path of a table"),
        (3, TypeError, "the data is an int, expected the path"),
        (iter(TEXTS), TypeError, "read once: give list"),
        (TEXTS, ValueError, r"a list of 3 str: texts without labels; give \(texts, labels\)"),
        ([1, 2], TypeError, "an item of the data is an int"),
        ([], ValueError, "no rows"),
        ((TEXTS, LABELS[:2]), ValueError, "3 texts or rows with 2 labels"),
        ((TEXTS, "good"), TypeError, r"second of \(texts, labels\) is a str"),
        ((FRAME, LABELS), ValueError, "have a column 'label' already"),
        ({"text": "a", "label": 1}, TypeError, "should be lists, but text, label are none"),
        ({"text": TEXTS, "label": [1]}, ValueError, "equally long.*text 3, label 1"),
        ([{"input_ids": [1, 2]}], ValueError, "give the texts themselves"),
        (Batches(), TypeError, "give its dataset: data.dataset"),
    ],
)
def test_anything_else_is_answered_with_a_sentence(source, kind, message: str) -> None:
    with pytest.raises(kind, match=message):
        read_examples(source)
