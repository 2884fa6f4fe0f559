"""The loading benchmark counts what it read."""

from pathlib import Path

import pytest

from bert_playground.bench import loading, run_loading_benchmark
from bert_playground.config.schema import DataSection
from bert_playground.data.prepare import fit_text
from bert_playground.data.reading.table import read_table


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read until it is warm, or a median steady: what is counted is the same."""
    monkeypatch.setattr(loading, "WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(loading, "MIN_SECONDS", 0.0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    rows = [f"{i},{i % 9},{'ab'[i % 2]},{i % 2}" for i in range(200)]
    path.write_text("\n".join(["id,n,c,label", *rows]) + "\n")
    return path


@pytest.mark.usefixtures("_no_waiting")
def test_rates_follow_from_rows_and_seconds(table: Path) -> None:
    text, _ = fit_text(read_table(table), DataSection())
    result = run_loading_benchmark(table, text, steps=3)
    assert result["rows"] == 200
    assert result["tokens"] == 200 * 4  # [CLS], two cells, [SEP]
    assert result["rows_per_second"] == 200 / result["pass"]["seconds_median"]
    assert result["rows_per_second_best"] >= result["rows_per_second"]
    assert set(result["stages"]) == {"read", "write_text", "tokenize", "batch"}
    assert all(seconds > 0 for seconds in result["stages"].values())


@pytest.mark.usefixtures("_no_waiting")
def test_a_small_table_is_read_until_its_median_is_steady(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = fit_text(read_table(table), DataSection())
    assert run_loading_benchmark(table, text, steps=2)["pass"]["repetitions"] == 2
    monkeypatch.setattr(loading, "MIN_SECONDS", 60.0)
    monkeypatch.setattr(loading, "MAX_PASSES", 7)
    result = run_loading_benchmark(table, text, steps=2)
    assert result["pass"]["repetitions"] == 7
    assert "not counted: imports" in result["counted"]


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(
    ("options", "tokens"),
    [({"template": "separated"}, 200 * 9), ({"text_pair": ["n", "c"]}, 200 * 5)],
)
def test_rows_are_counted_as_training_reads_them(
    table: Path, options: dict[str, object], tokens: int
) -> None:
    text, _ = fit_text(read_table(table), DataSection.model_validate(options))
    assert run_loading_benchmark(table, text, steps=1)["tokens"] == tokens
    assert text.encode(read_table(table)).lengths.sum() == tokens
