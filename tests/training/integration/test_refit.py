"""training.refit: one more model on all rows, for the epochs that validation chose, which then answers for the run."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.data.prepare import prepare
from bert_playground.inference import Predictor
from bert_playground.runs import RunDir, find_checkpoint
from bert_playground.training import run_training
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.evaluation.calibrate import calibrate
from bert_playground.training.run_folder import RunResult

pytestmark = pytest.mark.medium

ON = {"training.refit": True, "training.epochs": 4}


@pytest.fixture
def result(train_once) -> RunResult:
    return train_once(**ON)


def test_the_run_is_the_same_and_its_refit_answers(result: RunResult, train_once) -> None:
    plain = train_once(**{"training.epochs": 4})
    run = result.run_dir
    assert result.metrics == plain.metrics
    assert result.best_checkpoint == run.refit == find_checkpoint(run.path)
    ours, theirs = run.best / "model.safetensors", plain.run_dir.best / "model.safetensors"
    assert ours.read_bytes() == theirs.read_bytes()
    assert json.loads(run.summary.read_text())["files"]["refit"] == str(run.refit)
    log = run.train_log.read_text()
    assert f"for {result.summary['best_epoch']} epoch" in log


def test_it_is_what_training_on_all_rows_for_these_epochs_gives(
    result: RunResult, make_config, tmp_path: Path
) -> None:
    config = make_config()
    tables = prepare(config)
    path = tmp_path / "all.csv"
    pl.concat([tables.train, tables.val]).write_csv(path)
    alone = run_training(
        make_config(
            **{
                "data.train": path,
                "data.val": config.data.train,
                "data.id_column": "row",
                "training.epochs": result.summary["best_epoch"],
                "training.early_stopping_patience": 0,
            }
        )
    ).run_dir
    assert (alone.final / "model.safetensors").read_bytes() == (
        result.run_dir.refit / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_members_of_an_ensemble_are_refitted(make_config) -> None:
    result = train_ensemble(make_config(**ON, **{"ensemble.num_models": 2}))
    assert [member.kept for member in result.run_dir.members()] == [
        member.refit for member in result.run_dir.members()
    ]
    manifest = (result.run_dir.path / "ensemble.json").read_text()
    assert manifest.count("checkpoints/refit") == 2


def test_calibration_refuses_rows_that_the_refit_has_seen(result: RunResult) -> None:
    with pytest.raises(ValueError, match=r"was trained on the validation rows.*checkpoints/best"):
        calibrate(Predictor.load(result.run_dir.refit))


def test_a_run_that_died_in_the_refit_refits_when_it_is_resumed(
    result: RunResult, make_config, tmp_path: Path
) -> None:
    run = RunDir(shutil.copytree(result.run_dir.path, tmp_path / result.run_dir.path.name))
    expected = (run.refit / "model.safetensors").read_bytes()
    shutil.rmtree(run.refit)
    again = run_training(make_config(**ON), resume=run.path)
    assert again.best_checkpoint == run.refit
    assert (run.refit / "model.safetensors").read_bytes() == expected


def test_a_streamed_table_is_refused(make_config) -> None:
    with pytest.raises(ValueError, match=r"training\.refit needs the whole table"):
        run_training(make_config(**ON, **{"data.streaming": True}))


def test_answers_are_finite_and_of_other_weights(result: RunResult, make_config) -> None:
    rows = prepare(make_config()).val
    best, again = (
        Predictor.load(folder).predict(rows)
        for folder in (result.run_dir.best, result.run_dir.refit)
    )
    assert np.isfinite(again).all()
    assert not np.array_equal(best, again)
