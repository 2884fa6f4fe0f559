"""The loading benchmark counts what it read."""

from pathlib import Path

import pytest

from bert_playground.bench import run_loading_benchmark
from bert_playground.config.schema import DataSection
from bert_playground.data.core.table import read_table
from bert_playground.data.row_text import fit_as_training_would


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    rows = [f"{i},{i % 9},{'ab'[i % 2]},{i % 2}" for i in range(200)]
    path.write_text("\n".join(["id,n,c,label", *rows]) + "\n")
    return path


def test_rates_follow_from_rows_and_seconds(table: Path) -> None:
    text = fit_as_training_would(read_table(table), DataSection())
    result = run_loading_benchmark(table, text, steps=3)
    assert result["rows"] == 200
    assert result["tokens"] == 200 * 4  # [CLS], two cells, [SEP]
    assert result["rows_per_second"] == 200 / result["pass"]["seconds_median"]
    assert result["rows_per_second_best"] >= result["rows_per_second"]
    assert set(result["stages"]) == {"read", "write_text", "tokenize", "batch"}
    assert all(seconds > 0 for seconds in result["stages"].values())
