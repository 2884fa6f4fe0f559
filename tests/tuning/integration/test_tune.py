"""run_tuning on a made-up table: trials as run folders, rows that none of them sees, fresh seeds, failures, going on."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.run_list import list_runs
from bert_playground.run_record import read_record
from bert_playground.tuning import conclude, defaults
from bert_playground.tuning.presence import Presence
from bert_playground.tuning.request import TuneRequest
from bert_playground.tuning.tune import run_tuning
from bert_playground.tuning.verdict import Verdict
from tests.engines.pickled import use_as_ray
from tests.tiny_run import TINY_RUN

pytestmark = pytest.mark.medium

TINY = TINY_RUN | {"data.drop_columns": ["row"]}
# The defaults are one epoch at the recipe's rate; 3 heads do not divide the width, so that such trials fail.
SPACE = {
    "training.epochs": {"low": 4, "high": 6},
    "optimizer.learning_rate": {"low": 5e-3, "high": 2e-2, "log": True},
    "model.num_heads": [2, 3],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    random = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("fruit") / "train.csv"
    colours = random.choice(["green", "red", "yellow"], 150)
    rows = {"row": range(150), "colour": colours, "shop": random.choice(["north", "south"], 150)}
    pl.DataFrame(rows | {"ripe": np.where(colours == "green", "no", "yes")}).write_csv(path)
    return path


def tune(table, output, resume=None, settings=(), **asked):
    flags = {**TINY, "data.train": table, "data.target": "ripe", "training.output_dir": output}
    config, sources = load_config(None, {}, flags | dict(settings))
    if resume is not None:
        config, sources = load_config(None, {}, {})
    return run_tuning(config, sources, TuneRequest(**asked), resume)


@pytest.fixture(scope="module")
def study(table, tmp_path_factory):
    output = tmp_path_factory.mktemp("tuned")
    return tune(table, output, space=SPACE, trials=6, seeds=2, aside=0.3)


def test_each_trial_is_a_run_with_its_seed_and_its_values(study):
    trials = [each for each in study["trials"] if each["state"] == "complete"]
    assert len(trials) >= 2
    for each in trials:
        record = read_record(Path(each["run"]))
        assert record.settings.values["training"]["seed"] == 1 + each["trial"]
        assert record.setting("training.epochs") == each["params"]["training.epochs"]
        assert record.settings.sources["training.epochs"] == "tune"
        assert record.summary.metrics["val_log_loss"] == each["value"]
    listed = {entry.name for entry in list_runs(Path(study["run"]) / "trials")}
    assert {Path(each["run"]).name for each in trials} < listed  # the defaults are one more


def test_a_configuration_that_fails_is_recorded_and_the_study_goes_on(study):
    failed = [
        each for each in study["trials"] if each["state"] == "failed" or each["state"] == "fail"
    ]
    assert failed
    assert all(each["params"]["model.num_heads"] == 3 for each in failed)
    assert all("3" in each["reason"] for each in failed)
    assert all(
        each["run"] is None for each in failed
    )  # whose folder is gone, and whose name another may have


def test_rows_put_aside_are_in_no_table_of_a_trial(study, table):
    rows = Path(study["run"]) / "rows"
    train, aside = (
        pl.read_csv(rows / name)["row"].to_list() for name in ("train.csv", "aside.csv")
    )
    assert not set(train) & set(aside)
    assert sorted(train + aside) == list(range(150))
    assert study["rows_aside"] == len(aside) == 45
    for each in study["trials"]:
        if each["run"] and Path(each["run"]).is_dir():
            assert read_record(Path(each["run"])).setting("data.train") == str(rows / "train.csv")


def test_the_verdict_is_of_fresh_seeds_on_the_rows_put_aside(study):
    verdict = study["verdict"]
    assert len(verdict["seeds"]) == 2
    used = {1 + each["trial"] for each in study["trials"]} | {0}
    assert not used & set(verdict["seeds"])
    assert verdict["rows"] == 45
    runs = [read_record(entry.run.path) for entry in list_runs(Path(study["run"]) / "verdict")]
    assert sorted(run.setting("training.seed") for run in runs) == sorted(2 * verdict["seeds"])
    # One epoch has learned nothing yet, and the colour says it all.
    assert verdict["gain"] == pytest.approx(
        verdict["defaults"]["log_loss"] - verdict["tuned"]["log_loss"]
    )
    assert verdict["is_shown"]
    assert "beats the defaults beyond noise" in verdict["says"]


def test_the_best_configuration_is_a_file_that_training_takes(study):
    path = Path(study["files"]["best"])
    config, sources = load_config(path, {})
    assert config.training.epochs == study["best"]["params"]["training.epochs"]
    assert config.model.pretrain == "off"  # as in the trials, which do not pretrain unasked
    assert config.model.hidden_size == 16
    assert config.data.train is None
    assert sources["training.seed"] == "default"
    assert study["verdict"]["says"] in path.read_text()
    assert study["command"].endswith(f"--config {path}")


def test_only_the_best_trial_keeps_its_weights(study):
    kept = {
        path.parents[2].name
        for path in Path(study["run"]).glob("trials/*/checkpoints/best/*.safetensors")
    }
    assert kept == {Path(study["best"]["run"]).name}


def test_the_report_has_the_pictures_and_the_study_is_a_run(study):
    html = Path(study["files"]["report"]).read_text()
    for part in (
        "best so far",
        "complete trials through their settings",
        "fresh seeds",
    ):
        assert part in html
    (entry,) = [
        e for e in list_runs(Path(study["run"]).parent) if e.name == Path(study["run"]).name
    ]
    assert (entry.kind, entry.status) == ("tune", "complete")
    assert entry.metrics["val_log_loss"] == study["best"]["value"]


@pytest.mark.slow
def test_trials_of_an_earlier_study_are_tried_first(study, table, tmp_path):
    space = {path: asked for path, asked in SPACE.items() if path != "model.num_heads"}
    found = tune(
        table, tmp_path, space=space, trials=1, seeds=2, aside=0.3, warm_start=(study["run"],)
    )
    (first,) = found["trials"]
    best = min((t for t in study["trials"] if t["value"]), key=lambda t: t["value"])
    assert first["origin"] == "warm start"
    assert first["params"] == {path: best["params"][path] for path in space}


def test_without_time_for_the_defaults_nothing_is_left_behind(table, tmp_path):
    with pytest.raises(ValueError, match="one training by the defaults takes longer"):
        tune(table, tmp_path / "out", seconds=0.01, settings={"training.epochs": 50})
    assert not list((tmp_path / "out").glob("run_*/summary.json"))


@pytest.mark.slow
def test_trials_on_folds_are_runs_over_folds(table, tmp_path):
    space = {"training.epochs": {"low": 3, "high": 4}}
    found = tune(
        table,
        tmp_path,
        space=space,
        trials=1,
        seeds=2,
        aside=0.3,
        settings={"cross_validation.folds": 2},
    )
    (trial,) = found["trials"]
    folder = Path(trial["run"])
    assert (folder / "oof.parquet").is_file()
    assert json.loads((folder / "summary.json").read_text())["num_folds"] == 2
    assert trial["value"] == pytest.approx(found["metrics"]["val_log_loss"])
    assert found["best"]["error"] > 0
    assert "--folds 2" in found["command"]


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"data.horizon": 2}, "windows of a series"),
        ({"data.streaming": True}, "needs it whole"),
        ({"training.batch_size": "auto"}, "give a number"),
    ],
)
def test_tables_that_cannot_be_tuned_on_are_refused(table, tmp_path, settings, part):
    with pytest.raises(ValueError, match=part):
        tune(table, tmp_path / "out", trials=1, settings=settings)
    assert not list(tmp_path.glob("out/run_*"))


# The last one: it changes the study.
@pytest.mark.slow
def test_a_study_goes_on_where_it_ended_and_is_judged_by_other_seeds(study, table, tmp_path):
    before = len(study["trials"])
    again = tune(table, tmp_path, resume=Path(study["run"]), trials=7)
    assert len(again["trials"]) == before + 1
    assert not set(again["verdict"]["seeds"]) & set(study["verdict"]["seeds"])
    assert again["defaults"] == study["defaults"]


def test_trials_run_side_by_side_and_each_is_drawn_once(table, tmp_path, monkeypatch):
    engine = use_as_ray(monkeypatch)
    found = tune(
        table, tmp_path, settings={"engine.name": "ray"}.items(), space=SPACE, trials=4, aside=0
    )
    assert [job.number for job in engine.calls[:2]] == [1, 1]  # the later one first, and twice
    tried = {each["trial"]: each for each in found["trials"]}
    assert sorted(tried) == [0, 1, 2, 3]
    for number, each in tried.items():
        if each["state"] == "complete":
            record = read_record(Path(each["run"]))
            assert record.settings.values["training"]["seed"] == 1 + number
            assert record.summary.metrics["val_log_loss"] == each["value"]
    failed = [each for each in tried.values() if each["state"] in ("failed", "fail")]
    assert all(each["params"]["model.num_heads"] == 3 for each in failed)


@pytest.mark.slow
def test_with_time_for_it_trials_are_on_folds_that_nobody_asked_for(table, tmp_path, monkeypatch):
    monkeypatch.setattr(defaults, "LEAST_TRIALS", 0)
    space = {"training.epochs": {"low": 3, "high": 4}}
    found = tune(table, tmp_path, space=space, trials=2, seconds=120, seeds=2, aside=0.3)
    run = Path(found["run"])
    assert json.loads((run / "tune.json").read_text())["folds"] == 5
    for each in found["trials"]:
        if each["state"] == "complete":
            summary = json.loads((Path(each["run"]) / "summary.json").read_text())
            assert summary["num_folds"] == 5
    assert found["best"]["error"] > 0
    assert "--folds" not in found["command"]  # the best settings are for any training
    assert (
        len({entry.name for entry in list_runs(run / "trials")}) >= 4
    )  # the first one on one split
    again = tune(table, tmp_path, resume=run, trials=3)
    assert len(again["trials"]) == len(found["trials"]) + 1
    monkeypatch.setattr(defaults, "LEAST_TRIALS", 10**9)
    found = tune(table, tmp_path, space=space, trials=1, seconds=60, seeds=2, aside=0.3)
    assert json.loads((Path(found["run"]) / "tune.json").read_text())["folds"] == 0
    assert not list(Path(found["run"]).glob("trials/*/folds"))


def test_settings_that_are_worse_are_not_those_of_the_best_configuration(
    table, tmp_path, monkeypatch
):
    worse = Verdict("log_loss", gain=-0.2, error=0.05, seeds=(1, 2), rows=45)
    monkeypatch.setattr(conclude, "reach_verdict", lambda *args: worse)
    space = {"optimizer.learning_rate": {"low": 5e-3, "high": 2e-2}}
    found = tune(table, tmp_path, space=space, trials=2, seeds=2, aside=0.3)
    assert found["best"]["trial"] is not None
    written = Path(found["files"]["best"]).read_text()
    assert "It is worse than the defaults beyond noise, so they are kept" in written
    assert "learning_rate" not in written


def test_a_study_that_has_not_chosen_its_folds_is_not_joined(table, tmp_path, monkeypatch):
    monkeypatch.setattr(Presence, "_try", lambda self, kind: False)
    with pytest.raises(ValueError, match=r"still at its first training.*join it after that"):
        tune(table, tmp_path, space=SPACE, trials=1, seconds=60, aside=0)


@pytest.mark.slow
def test_the_best_of_many_trials_race_on_fresh_splits(table, tmp_path):
    space = {"training.epochs": {"low": 1, "high": 6}, "optimizer.learning_rate": {"low": 1e-4, "high": 2e-2}}  # fmt: skip
    found = tune(table, tmp_path, space=space, trials=60, seeds=2, aside=0.3)
    race = found["race"]
    numbers = [each["trial"] for each in race["entries"]]
    assert numbers[0] is None  # the defaults
    assert len(numbers) >= 3
    rounds = {each["trial"]: len(each["values"]) for each in race["entries"]}
    assert max(rounds.values()) == rounds[race["winner"]] > min(rounds.values()) >= 2
    runs = [read_record(entry.run.path) for entry in list_runs(Path(found["run"]) / "race")]
    assert len(runs) == sum(rounds.values())
    seeds = {run.setting("training.seed") for run in runs}
    assert len(seeds) == max(rounds.values())  # a round is one split for all
    assert not seeds & {*found["verdict"]["seeds"], *range(30)}
    means = {each["trial"]: np.mean(each["values"]) for each in race["entries"]}
    assert found["best"]["value"] == pytest.approx(means[race["winner"]])
    assert found["best"]["trial"] == race["winner"] is not None  # one epoch learns nothing
    kept = {path.parents[2] for path in Path(found["run"]).rglob("checkpoints/best/*.safetensors")}
    assert Path(found["best"]["run"]) in kept
    assert all(path.parent.name in ("race", "verdict") for path in kept)
    assert "fresh splits" in Path(found["files"]["best"]).read_text()
    assert "The race" in Path(found["files"]["report"]).read_text()
