"""Pruning: over folds by Wilcoxon's test, within a training by Hyperband, and by the clock."""

import optuna
import pytest

from bert_playground.training.core.state import TrainState
from bert_playground.tuning.pruning import (
    FIRST_FOLD,
    LEAST_COMPLETE,
    OUT_OF_TIME,
    PARTS,
    Follower,
    Kept,
    StepAndFoldPruner,
    outcome_of,
)


@pytest.fixture
def study():
    return optuna.create_study(pruner=StepAndFoldPruner())  # less is better


def tell(study, folds):
    trial = study.ask()
    for number, value in enumerate(folds):
        trial.report(value, FIRST_FOLD + number)
    return trial


def test_a_trial_that_is_worse_on_three_folds_ends(study):
    study.tell(tell(study, [1.0, 1.2, 1.1, 1.3]), 1.15)
    assert not tell(study, [1.1, 1.3]).should_prune()
    assert tell(study, [1.1, 1.3, 1.2]).should_prune()


def test_a_trial_that_is_better_on_some_folds_goes_on(study):
    study.tell(tell(study, [1.0, 1.2, 1.1, 1.3]), 1.15)
    assert not tell(study, [0.9, 1.3, 1.0]).should_prune()
    assert not tell(study, [0.9, 1.1, 1.0]).should_prune()


def test_steps_of_the_first_fold_are_no_folds(study):
    best = study.ask()
    for step in range(1, PARTS + 1):
        best.report(0.1, step)
    for number in range(3):
        best.report(1.0, FIRST_FOLD + number)
    study.tell(best, 1.0)
    trial = study.ask()
    for step in range(1, PARTS + 1):
        trial.report(5.0, step)
    trial.report(0.9, FIRST_FOLD)
    trial.report(0.9, FIRST_FOLD + 1)
    assert not trial.should_prune()


def test_within_a_training_nobody_ends_before_some_are_complete(study):
    ended = []
    for number in range(30):
        trial = study.ask()
        is_pruned = False
        for step in range(1, PARTS):
            trial.report(1.0 + number, step)  # each is worse than all before
            is_pruned = is_pruned or trial.should_prune()
        ended.append(is_pruned)
        state = optuna.trial.TrialState.PRUNED if is_pruned else None
        study.tell(trial, None if is_pruned else 1.0 + number, state=state)
    assert not any(ended[:LEAST_COMPLETE])
    assert any(ended[LEAST_COMPLETE:])


def follow(reporter, seconds=60.0, **state):
    found = TrainState(total_steps=90, **state)
    return found, Follower(reporter, "val_log_loss", lambda: seconds)


def test_a_follower_reports_parts_of_the_schedule_once():
    kept = Kept()
    state, follower = follow(kept)
    for step, value in ((10, 3.0), (12, 2.9), (45, 2.0), (90, 1.0)):
        state.step, state.metrics = step, {"val_log_loss": value}
        follower.on_evaluate_end(state)
    assert kept.values == {1: 3.0, 4: 2.0, 9: 1.0}
    assert not state.stop_reason


def test_a_follower_ends_a_training_that_is_pruned_and_one_without_time():
    class Strict(Kept):
        def should_prune(self):
            return True

    state, follower = follow(Strict(), step=45, metrics={"val_log_loss": 1.0})
    follower.on_evaluate_end(state)
    assert outcome_of({"stop_reason": state.stop_reason}) == "pruned after 45 of 90 steps"
    late, follower = follow(None, seconds=-1.0, step=3)
    follower.on_step_end(late)
    assert outcome_of({"stop_reason": late.stop_reason}) == OUT_OF_TIME
    assert outcome_of({"stop_reason": "val_loss has not improved for 4 evaluations"}) is None


def test_a_training_that_would_clearly_take_too_long_ends_at_once():
    slow = TrainState(total_steps=1000, step=20, seconds=4.0)  # 200 s in all
    for most, is_ended in ((150.0, False), (100.0, True)):
        slow.stop_reason = ""
        Follower(None, "val_mae", lambda: 500.0, most_seconds=most).on_step_end(slow)
        assert (outcome_of({"stop_reason": slow.stop_reason}) is not None) is is_ended
