"""A validation table that was trained on is said."""

from pathlib import Path

import polars as pl
import pytest

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.prepare import prepare
from bert_playground.logger import logger

ROWS = ["id,note,y", *(f"{i},{i * i % 17},{i % 2}" for i in range(60))]


def said_of(folder: Path, val: Path, **data: object) -> str:
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    section = DataSection(train=folder / "train.csv", val=val, target="y", **data)
    tables = prepare(RunConfig(data=section))
    logger.remove(sink)
    assert tables.val.columns == tables.train.columns
    return "".join(said)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("\n".join(ROWS) + "\n")
    return tmp_path


def test_the_training_table_itself_is_named(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "train.csv")
    for name in ("train.csv", "link.csv"):
        assert "is the training table itself" in said_of(folder, folder / name)


def test_a_copy_is_named_and_other_rows_are_not(folder: Path) -> None:
    path = folder / "val.csv"
    path.write_text("\n".join([ROWS[0], *ROWS[:0:-1]]) + "\n")
    assert "60 of 60 rows of validation table" in said_of(folder, path)
    path.write_text("\n".join([ROWS[0], *(f"{i},3,{i % 2}" for i in range(100, 140))]) + "\n")
    assert said_of(folder, path) == ""


def test_validation_rows_need_no_column_that_is_not_read(folder: Path) -> None:
    path = folder / "val.csv"
    pl.DataFrame({"y": ["0", "1"], "note": ["99", "98"]}).write_csv(path)
    assert said_of(folder, path) == ""
    pl.DataFrame({"y": ["0", "1"], "id": ["99", "98"]}).write_csv(path)
    with pytest.raises(ValueError, match=r"lacks 1 column.*'note'"):
        said_of(folder, path)
