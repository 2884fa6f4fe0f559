"""The smaller parts: errors by bootstrap, the clock, the verdict's sentence, storages, killed trials, pictures."""

import os
import subprocess
import sys
import time

import numpy as np
import optuna
import pytest

from bert_playground.runs import RunDir
from bert_playground.training.comparison.bootstrap import bootstrap_error, bootstrap_gain
from bert_playground.tuning.clock import Clock
from bert_playground.tuning.member import choose_trials
from bert_playground.tuning.pictures import (
    draw_history,
    draw_importances,
    draw_parallel,
)
from bert_playground.tuning.presence import share_study
from bert_playground.tuning.request import TuneRequest, find_study
from bert_playground.tuning.search import describe_failure
from bert_playground.tuning.space import Choice, Range, place_value
from bert_playground.tuning.study import (
    JOURNAL,
    PROCESS,
    REASON,
    free_killed_trials,
    name_process,
    open_storage,
    open_study,
)
from bert_playground.tuning.verdict import Verdict


def mean_hit(labels, scores):
    return float((labels == scores).mean())


def test_the_error_of_a_share_is_that_of_the_binomial():
    labels, scores = np.ones(400), np.r_[np.ones(300), np.zeros(100)]
    error = bootstrap_error(mean_hit, labels, scores, draws=2000)
    assert error == pytest.approx((0.75 * 0.25 / 400) ** 0.5, rel=0.1)


def test_a_gain_is_paired_so_that_rows_that_both_miss_cost_nothing():
    labels = np.ones(200)
    theirs = np.r_[np.ones(100), np.zeros(100)]
    gain, error = bootstrap_gain(mean_hit, labels, [theirs] * 3, [theirs] * 3)
    assert (gain, error) == (0.0, 0.0)
    ours = np.r_[np.ones(110), np.zeros(90)]
    gain, error = bootstrap_gain(mean_hit, labels, [ours] * 3, [theirs] * 3)
    assert gain == pytest.approx(0.05)
    assert 0.01 < error < 0.02  # sqrt(0.05 * 0.95 / 200) is 0.0154


def test_seeds_that_disagree_widen_the_error_of_a_gain():
    labels, right, wrong = np.ones(100), np.ones(100), np.zeros(100)
    _, error = bootstrap_gain(mean_hit, labels, [right, wrong], [wrong, right])
    assert error > 0.3


def test_a_fold_has_no_say_in_the_trial_that_answers_it():
    scores = np.array([[0.9, 0.1, 0.1], [0.2, 0.3, 0.3]])  # of two trials on three folds
    assert choose_trials(scores) == [1, 0, 0]


def test_the_clock_keeps_time_for_the_verdict():
    clock = Clock(100.0, num_pairs=5, started=time.perf_counter() - 50, defaults=2.0, best=3.0)
    assert clock.left == pytest.approx(46, abs=0.5)
    assert clock.search_left == pytest.approx(46 - 5 * 5.75, abs=0.5)
    assert clock.has_time_for_trial
    assert clock.most_of_trial == 20.0  # a fifth of the time
    clock.best = None  # nothing to judge yet: the least that a verdict needs is kept
    assert clock.search_left == pytest.approx(46 - 2 * 4.6, abs=0.5)
    clock.taken = [40.0]
    assert not clock.has_time_for_trial
    assert Clock(None, 5).search_left == float("inf")


def test_a_verdict_says_what_was_shown_and_what_was_not():
    base = {"metric": "auc", "seeds": (1, 2, 3), "rows": 200}
    assert (
        Verdict(**base, gain=0.03, error=0.01)
        .say()
        .startswith("It beats the defaults beyond noise")
    )
    assert "not shown to beat the defaults" in Verdict(**base, gain=0.015, error=0.01).say()
    said = Verdict(**base, gain=-0.03, error=0.01).say()
    assert said.startswith(
        "It is worse than the defaults beyond noise, so they are kept: auc worse by 0.0300"
    )
    assert not Verdict(**base, gain=-0.015, error=0.01).is_worse
    assert Verdict("auc", why="no time").say() == "There is no verdict: no time."


def make_study(tmp_path, name="s", **question):
    return open_study(
        open_storage(None, tmp_path), name, higher_is_better=False, seed=0, question=question
    )


def test_a_study_that_asks_something_else_is_refused(tmp_path):
    make_study(tmp_path, rows=10, metric="mae")
    make_study(tmp_path, rows=10, metric="mae")
    with pytest.raises(ValueError, match="rows: 10, now 11"):
        make_study(tmp_path, rows=11, metric="mae")


@pytest.mark.parametrize("address", ["sqlite:///{}/s.db", "{}/other.journal"])
def test_a_storage_has_an_address(tmp_path, address):
    path = address.format(tmp_path)
    question = {"higher_is_better": False, "seed": 0, "question": {}}
    study = open_study(open_storage(path, tmp_path), "s", **question)
    study.tell(study.ask(), 1.0)
    again = open_study(open_storage(path, tmp_path), "s", **question)
    assert [trial.value for trial in again.trials] == [1.0]


def test_an_address_that_leads_nowhere_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nosuch://… cannot be opened"):
        open_storage("nosuch://host/db", tmp_path)


@pytest.mark.parametrize(
    "line", ["garbage", '{"op_code": 99}', "[1]", '{"op_code": 0, "directions": ["x"]}']
)
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_damaged_journal_is_no_study(tmp_path, line, is_whole):
    make_study(tmp_path)
    journal = tmp_path / JOURNAL
    known = journal.read_text() if is_whole else ""
    journal.write_text(f"{known}{line}\n")
    with pytest.raises(ValueError, match="start anew with another --output"):
        make_study(tmp_path)


def test_a_killed_trial_fails_and_is_tried_once_more(tmp_path):
    study = make_study(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for process in (
        name_process(),
        name_process().replace(str(os.getpid()), str(gone.pid)),
        "elsewhere:1",
    ):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr(PROCESS, process)
    assert free_killed_trials(study) == 1
    mine, killed, other, again = study.trials
    assert mine.state == other.state == optuna.trial.TrialState.RUNNING
    assert killed.user_attrs[REASON] == "the process was killed"
    assert again.state == optuna.trial.TrialState.WAITING
    retried = study.ask()
    assert retried.suggest_float("x", 0, 1) == killed.params["x"]
    retried.set_user_attr(PROCESS, f"{name_process().rpartition(':')[0]}:{gone.pid}")
    free_killed_trials(study)
    assert len(study.trials) == 4  # not a second time: it may be what kills


def test_the_last_process_on_a_study_concludes_it(tmp_path):
    with share_study(RunDir(tmp_path)) as first:
        assert first.is_alone
        with share_study(RunDir(tmp_path)) as second:
            assert not second.is_alone
            assert not second.is_last()
        assert first.is_last()


def test_a_request_is_stored_and_wrong_ones_are_refused(tmp_path):
    asked = TuneRequest(seconds=60.0, space={"model.dropout": [0.1, 0.2]}, warm_start=("output",))
    asked.write(RunDir(tmp_path))
    assert TuneRequest.read(find_study(tmp_path)) == asked
    with pytest.raises(ValueError, match=r"--time is -1 s.*; --seeds is 1"):
        TuneRequest(seconds=-1.0, seeds=1)
    with pytest.raises(ValueError, match="no folder of `bert tune`"):
        find_study(tmp_path.parent)


def test_failures_of_memory_are_called_so():
    assert describe_failure(RuntimeError("[metal::malloc] Attempting to allocate")).startswith(
        "out of memory"
    )
    assert describe_failure(ValueError("3 heads")) == "ValueError: 3 heads"


TRIALS = [
    {"trial": number, "value": value, "params": {"a.rate": rate, "a.kind": kind}}
    for number, (value, rate, kind) in enumerate(
        [(1.0, 0.1, "x"), (0.8, 0.01, None), (0.9, 1.0, "x")]
    )
]
DIMENSIONS = {"a.rate": Range(0.01, 1.0, log=True), "a.kind": Choice(("x", None))}


def test_pictures_show_the_study():
    history = draw_history([*TRIALS, {"trial": 3, "value": None}], "mae", False)
    assert "the best went from 1.0000 to 0.8000" in history.caption
    assert str(history.svg).count("<circle") == 3
    parallel = draw_parallel(TRIALS, DIMENSIONS, "mae", False)
    assert str(parallel.svg).count("<polyline") == 3
    assert str(parallel.svg).count('class="line s2"') == 1  # the best one
    assert "60%" in str(draw_importances({"a.rate": 0.6, "a.kind": 0.4}).svg)
    assert draw_history([], "mae", False) is None
    assert draw_importances({}) is None


def test_values_lie_on_their_axes():
    assert place_value(DIMENSIONS["a.rate"], 0.1) == pytest.approx(0.5)
    assert place_value(DIMENSIONS["a.kind"], None) == 1.0
