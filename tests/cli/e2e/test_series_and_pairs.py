"""Series and text pairs from table to submission, and what is refused on the way."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

SMALL = """
model: {architecture: bert, hidden_size: 32, num_layers: 2, num_heads: 2, vocab_size: 200}
training: {epochs: 1, max_steps: 2, batch_size: 8, logging_steps: 1, use_compilation: false}
"""


def invoke(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(data: str, *more: object) -> Path:
    Path("small.yaml").write_text(f"{SMALL}data: {data}\n")
    summary = invoke("train", "--config", "small.yaml", "--train", "train.csv", "--json", *more)
    return Path(json.loads(summary.stdout)["files"]["run"])


@pytest.mark.medium
def test_a_series_is_predicted_from_its_latest_moment(folder: Path) -> None:
    rows = [
        {"shop": shop, "day": f"2024-{1 + n // 28:02}-{1 + n % 28:02}", "sales": 5 * k + n % 7}
        for k, shop in enumerate("ab")
        for n in range(50)
    ]
    pl.DataFrame(rows).write_csv("train.csv")
    run = train("{target: sales, horizon: 2, lags: 3, series_column: shop}")
    invoke("predict", "--checkpoint", run, "--test", "train.csv")
    answers = pl.read_csv("submission.csv")
    assert answers.columns == ["shop", "sales +1", "sales +2"]
    assert answers["shop"].to_list() == ["a", "b"]
    scored = json.loads(
        invoke("evaluate", "--checkpoint", run, "--data", "train.csv", "--json").stdout
    )
    assert scored["rows"] == 2 * 48
    pl.DataFrame(rows).drop("sales").write_csv("future.csv")
    refused = invoke("predict", "--checkpoint", run, "--test", "future.csv", code=2)
    assert "'sales'" in refused.stderr


def test_a_text_pair_is_predicted_even_of_a_target_called_count(folder: Path) -> None:
    words = ["cats sleep", "dogs run far", "it rains today", "nobody is here"]
    frame = pl.DataFrame(
        {
            "id": range(60),
            "premise": [words[i % 4] for i in range(60)],
            "claim": [words[i // 4 % 4] for i in range(60)],
            "count": [["same", "other"][i % 4 == i // 4 % 4] for i in range(60)],
        }
    )
    frame.write_csv("train.csv")
    frame.drop("count").write_csv("test.csv")
    run = train("{target: count, text_pair: [premise, claim]}")
    invoke("predict", "--checkpoint", run, "--test", "test.csv")
    assert pl.read_csv("submission.csv").height == 60
    text = "{target: count, text_pair: [premise, clam]}"
    Path("small.yaml").write_text(f"{SMALL}data: {text}\n")
    refused = invoke("train", "--config", "small.yaml", "--train", "train.csv", code=2)
    assert "did you mean 'claim'" in refused.stderr


def test_folds_are_written_and_trained_on(folder: Path, passengers: Path) -> None:
    table = passengers / "train.csv"
    said = json.loads(invoke("data", "folds", table, "--folds", 4, "--json").stdout)
    assert said["columns"] == ["PassengerId", "fold"]
    assert sum(said["rows_of_fold"]) + said["always_trained_on"] == 48
    Path("train.csv").write_bytes(table.read_bytes())
    run = train("{folds: folds.csv, fold: 3}")
    assert "fold 3 of folds.csv" in (run / "train.log").read_text()
    Path("small.yaml").write_text(f"{SMALL}data: {{folds: folds.csv, fold: 4}}\n")
    refused = invoke("train", "--config", "small.yaml", "--train", "train.csv", code=2)
    assert "no fold 4, only 0, 1, 2, 3" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", 40], "cannot be dealt to 40 folds"),
        (["--split", "time"], "no column holds dates"),
        (["--group-column", "Prt"], "did you mean 'Port'"),
    ],
)
def test_folds_that_cannot_be_are_refused(folder: Path, passengers: Path, words, message) -> None:
    refused = invoke("data", "folds", passengers / "train.csv", *words, code=2)
    assert message in refused.stderr
    assert not Path("folds.csv").exists()
