"""A table whose parts are read one by one, anywhere: together they say what the whole table says."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_playground.data.drift import compare
from bert_playground.data.drift.compare import TableDrift, plan_sample

from .test_findings import draw, watch

HEIGHTS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "SAMPLE_ROWS", 8)
    monkeypatch.setattr(compare, "MAX_SAMPLE_ROWS", 30)


def cut(table: pl.DataFrame, heights: list[int]) -> list[pl.DataFrame]:
    ends = np.cumsum(heights)
    return [table[end - height : end] for end, height in zip(ends, heights, strict=True)]


def read_apart(parts: list[pl.DataFrame]) -> TableDrift:
    joined = watch()
    for part, rows in zip(parts, plan_sample([part.height for part in parts]), strict=True):
        drift = watch()
        drift.keep_only(rows)
        drift.read(part)
        joined.add(json.loads(json.dumps(drift.to_dict())))
    return joined


def read_together(parts: list[pl.DataFrame]) -> TableDrift:
    drift = watch()
    for part in parts:
        drift.read(part)
    return drift


@pytest.mark.medium
@settings(max_examples=8, deadline=None)
@given(heights=HEIGHTS, seed=st.integers(0, 5))
def test_parts_say_what_the_whole_says(heights: list[int], seed: int) -> None:
    table = draw(sum(heights), seed).with_columns(
        price=pl.col("price").str.replace(".", ",", literal=True),
        plan=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("zinc")).otherwise("plan"),
        town=pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise("town"),
    )
    parts = cut(table, heights)
    together, apart = read_together(parts), read_apart(parts)
    assert apart.to_dict()["sample"] == together.to_dict()["sample"]
    assert apart.findings() == together.findings()
    assert any(finding.what == "respelled" for finding in apart.findings())


@given(heights=HEIGHTS)
def test_the_sample_stays_small(heights: list[int]) -> None:
    kept = plan_sample(heights)
    assert [len(kept), sum(map(len, kept)) <= 30] == [len(heights), True]
    assert all((rows < height).all() for rows, height in zip(kept, heights, strict=True))
