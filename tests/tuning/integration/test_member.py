"""tune_member: trials on the folds of a run become a member of it, each fold of which the other folds chose."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.cross_validation.fold_fit import read_answers
from bert_playground.tuning import member
from bert_playground.tuning.trial_job import TrialJob
from tests.engines.pickled import use_as_ray
from tests.tiny_run import TINY_RUN

pytestmark = pytest.mark.medium

FOLDS = {
    "cross_validation.folds": 3,
    "cross_validation.members": ("encoder", "tuned", "constant"),
    "data.target": "ripe",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    random = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("fruit") / "train.csv"
    colours = random.choice(["green", "red", "yellow"], 90)
    rows = {"id": range(90), "colour": colours, "shop": random.choice(["north", "south"], 90)}
    pl.DataFrame(rows | {"ripe": np.where(colours == "green", "no", "yes")}).write_csv(path)
    return path


def configure(table, output, **settings):
    flags = {**TINY_RUN, **FOLDS, "data.train": table, "training.output_dir": output, **settings}
    return load_config(None, {}, flags)


@pytest.fixture(scope="module")
def result(table, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member, "MOST_TRIALS", 2)
        asked = configure(table, tmp_path_factory.mktemp("output"))
        return run_cross_validation(*asked, tune=member.tune_member)


def test_each_fold_is_answered_by_a_trial_that_did_not_see_it(result):
    trials = [each for each in result.summary["trials"] if each["state"] == "complete"]
    assert trials
    oof = pl.read_parquet(result.run_dir.out_of_fold)
    for fold in range(3):
        answers = oof.filter(fold=fold)["tuned"].to_numpy()
        tried = [Path(each["run"]) / f"folds/repeat_0/fold_{fold}/encoder" for each in trials]
        assert any(np.array_equal(read_answers(folder), answers) for folder in tried)


def test_trials_of_the_member_run_side_by_side(table, tmp_path, monkeypatch):
    monkeypatch.setattr(member, "MOST_TRIALS", 2)
    engine = use_as_ray(monkeypatch)
    few = {"engine.name": "ray", "cross_validation.folds": 2}
    found = run_cross_validation(*configure(table, tmp_path, **few), tune=member.tune_member)
    trials = [each for each in found.summary["trials"] if each["state"] == "complete"]
    assert {job.number for job in engine.calls if isinstance(job, TrialJob)} == {1, 2}
    assert trials
    assert "tuned" in found.summary["member_metrics"]
    assert found.summary["failures"] == {}


def test_what_was_tried_is_told_in_its_order(result):
    told = result.summary["order"]
    assert [each["member"] for each in told] == ["constant", "encoder", "tuned"]
    assert sorted(each["begun"] for each in told) == [each["begun"] for each in told]
    first = result.summary["trials"][0]["params"]
    assert first["optimizer.learning_rate"] == 2.0  # one step from the defaults
    assert all(each["metric"] == "log_loss" for each in result.summary["trials"])


def test_the_member_is_blended_and_answers_like_any_other(result, table):
    assert "tuned" in result.summary["member_metrics"]
    assert [each["name"] for each in result.summary["blend"]["members"]].count("tuned") == 1
    scores = load_predictor(result.run_dir.path).predict(pl.read_csv(table, infer_schema=False))
    assert scores.shape == (90,)
    kept = list(result.run_dir.path.glob("tuning/trials/*/**/*.safetensors"))
    assert not kept  # the models of the member are those of its folds


def test_a_run_that_goes_on_tries_nothing_again(result):
    def refuse(schedule, asked):
        raise AssertionError

    before = result.run_dir.out_of_fold.read_bytes()
    again = run_cross_validation(*load_config(None, {}, {}), result.run_dir.path, refuse)
    assert again.run_dir.out_of_fold.read_bytes() == before


def test_a_study_that_was_stopped_goes_on_with_its_own_settings(table, tmp_path, monkeypatch):
    def stop(*asked):
        raise KeyboardInterrupt

    monkeypatch.setattr(member, "MOST_TRIALS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(member, "_take_models", stop)
        with pytest.raises(KeyboardInterrupt):
            run_cross_validation(*configure(table, tmp_path), tune=member.tune_member)
    (run,) = tmp_path.iterdir()
    # As the command line goes on: what was given before is in the run alone.
    again = run_cross_validation(*load_config(None, {}, {}), run, member.tune_member)
    assert "tuned" in again.summary["member_metrics"]
    assert len(again.summary["trials"]) == 1


def test_without_time_or_without_optuna_it_is_left_out_and_said(table, tmp_path, monkeypatch):
    monkeypatch.setattr(member, "_seconds_of", lambda *asked: 1e6)
    asked = configure(table, tmp_path, **{"cross_validation.time": 600.0})
    found = run_cross_validation(*asked, tune=member.tune_member)
    assert "one trial takes about 1000000 s" in found.summary["skipped"]["tuned"]
    again = run_cross_validation(*load_config(None, {}, {}), found.run_dir.path)
    assert "Optuna" in again.summary["skipped"]["tuned"]
    assert "tuned" not in again.summary["member_metrics"]
