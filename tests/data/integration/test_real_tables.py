"""Real competition tables, where the checkout has them beside it: nothing breaks and the right things are said."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config.datasets import DATASETS
from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no folder shared/data beside the checkout"
)


TABLES = [
    ("titanic", "Survived", "binary", 891),
    ("house-prices", "SalePrice", "regression", 1460),
    ("nlp-disaster", "target", "binary", 7613),
    ("wine-s3e5", "quality", "ordinal", 2056),
    ("steel-s4e3", DATASETS["steel-s4e3"].target, "multilabel", 19219),
    ("bike-sharing", "count", "regression", 10886),
    ("obesity-s4e2", "NObeyesdad", "multiclass", 20758),
    ("adult", "income", "binary", 32561),
    ("book-price", "Price", "regression", 4990),
]
QUICK_ROWS = 240
WIDE = ("house-prices", "book-price")  # 79 columns, and long texts


@pytest.mark.parametrize(
    ("name", "target", "task"), [table[:3] for table in TABLES if table[0] not in WIDE]
)
@pytest.mark.quick_for("titanic-Survived-binary", "bike-sharing-count-regression")
def test_the_first_rows_of_real_tables_become_tokens(
    name: str, target: str, task: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.csv"
    rows = pl.read_csv(SHARED / name / "train.csv", n_rows=QUICK_ROWS, infer_schema=False)
    rows.write_csv(path)
    check(path, target, task, QUICK_ROWS)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "task", "num_rows"), TABLES)
def test_real_tables_become_tokens(name: str, target: str, task: str, num_rows: int) -> None:
    check(SHARED / name / "train.csv", target, task, num_rows)


def check(path: Path, target: str, task: str, num_rows: int) -> None:
    tables = prepare(RunConfig(data=DataSection(train=path)))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert (tables.schema.target, tables.schema.task, pipeline.template) == (target, task, "cells")
    assert tables.train.height + tables.val.height == num_rows
    assert tables.val.height == pytest.approx(0.2 * num_rows, rel=0.05)
    table = pipeline.tokenize(tables.val)
    assert table.num_rows == tables.val.height
    assert table.labels is not None
    unknown = pipeline.tokenizer.tokenizer.token_to_id("[UNK]")
    assert (table.ids == unknown).mean() < 0.01
    assert np.isfinite(table.labels).all()


def test_relatives_stay_on_one_side_of_titanic() -> None:
    tables = prepare(RunConfig(data=DataSection(train=SHARED / "titanic" / "train.csv")))
    for column in ("Ticket", "Cabin"):
        train, val = (set(frame[column].drop_nulls()) for frame in (tables.train, tables.val))
        assert not train & val
