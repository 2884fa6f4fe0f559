"""The order of columns by what each one, alone, tells of the target."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.schema import column_probe, importance
from bert_playground.data.schema.importance import rank_columns


def make_table(rows: int = 300) -> tuple[pl.DataFrame, np.ndarray]:
    """Three columns: noise, the truth on most rows, the truth; and the truth, in four steps."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, rows)
    faint = np.where(random.random(rows) < 0.8, truth, random.integers(0, 4, rows))
    frame = pl.DataFrame(
        {
            "noise": random.normal(size=rows).round(3).astype(str),
            "faint": [f"w{value}" for value in faint],
            "clear": truth.astype(str),
        }
    )
    return frame, truth


@pytest.mark.parametrize("task", ["binary", "multiclass", "ordinal", "regression"])
def test_what_tells_most_comes_first(task: str) -> None:
    frame, truth = make_table()
    labels = truth // 2 if task == "binary" else truth
    assert rank_columns(frame, labels, task) == ["clear", "faint", "noise"]


@pytest.mark.parametrize("task", ["multilabel", "timeseries"])
def test_of_several_targets_the_mean_decides(task: str) -> None:
    frame, truth = make_table()
    other = np.random.default_rng(1).integers(0, 2, len(truth))
    frame = frame.with_columns(other=pl.Series(other.astype(str)))
    labels = np.stack([truth >= 2, truth >= 1, truth >= 3, other], axis=1).astype(np.float64)
    ranked = rank_columns(frame, labels, task)
    assert ranked == ["clear", "faint", "other", "noise"]


def test_columns_that_tell_equally_much_stay_in_their_order() -> None:
    frame, truth = make_table()
    frame = frame.with_columns(same=pl.lit("x"), again=pl.lit("y"), twin=pl.col("clear"))
    frame = frame.select("same", "twin", "again", "clear")
    assert rank_columns(frame, truth, "regression") == ["twin", "clear", "same", "again"]


def test_of_a_large_table_a_sample_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "SAMPLE_ROWS", 60)
    frame, truth = make_table()
    seen: list[int] = []

    class Spy(column_probe.ColumnProbe):
        def score(self, column: pl.Series) -> float:
            seen.append(len(column))
            return 0.0

    monkeypatch.setattr(column_probe, "ColumnProbe", Spy)
    frame = frame.select("faint", "clear")
    assert rank_columns(frame, truth, "multiclass") == ["faint", "clear"]
    assert seen == [60, 60]
