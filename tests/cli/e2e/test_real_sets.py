"""Every known data set trains and predicts through the same two commands, is judged by its metric, and fits its sample."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config.datasets import DATASETS
from bert_playground.data.reading.table import read_table

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no folder shared/data beside the checkout"),
]
ROWS = 2000  # of a training table: enough for every class, and seconds of work
WANTS_PROBABILITIES = ("steel-s4e3",)


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.parametrize("name", [*DATASETS])
def test_a_known_set_trains_predicts_and_fits_its_sample(name: str, tmp_path: Path) -> None:
    facts, source = DATASETS[name], SHARED / name
    if not source.is_dir():
        pytest.skip(f"{name} is not among the tables here")
    train, test = tmp_path / "train.csv", source / "test.csv"
    read_table(source / "train.csv")[:ROWS].write_csv(train)
    # Beside it, so that columns without an answer in the test table are noticed.
    if test.is_file():
        read_table(test).write_csv(tmp_path / "test.csv")
    command = ["train", "--config", "test", "--train", train, "--output", tmp_path, "--json"]
    summary = json.loads(invoke(*command))
    assert summary["task"] == facts.task
    assert summary["target"] == facts.target
    assert np.isfinite(summary["metrics"][f"val_{facts.metric}"])
    assert summary["train_rows"] + summary["val_rows"] == min(
        ROWS, read_table(source / "train.csv").height
    )
    if facts.sample_file is None:
        return
    sample, output = source / facts.sample_file, tmp_path / "submission.csv"
    proba = ["--proba"] if name in WANTS_PROBABILITIES else []
    run = summary["files"]["run"]
    invoke(
        "predict",
        "--checkpoint",
        run,
        "--test",
        test,
        "--sample",
        sample,
        "--output",
        output,
        *proba,
    )
    ours, theirs = read_table(output), read_table(sample)
    assert ours.columns == theirs.columns
    assert ours[:, 0].to_list() == theirs[:, 0].to_list()
    for column in ours.columns[1:]:
        assert not ours[column].has_nulls()
        expected = theirs[column].cast(pl.Float64, strict=False)
        if not expected.has_nulls():
            answers = ours[column].cast(pl.Float64)
            assert answers.is_finite().all()
            assert not proba or answers.is_between(0, 1).all()
