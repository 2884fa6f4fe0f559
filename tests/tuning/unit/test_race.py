"""Who races, and who is left behind."""

import time

import optuna
import pytest
from optuna.trial import create_trial

from bert_playground.tuning.clock import MOST_RACERS, Clock, count_fits
from bert_playground.tuning.defaults import choose_folds
from bert_playground.tuning.race import choose_trials, keep_half, rank
from bert_playground.tuning.space import Choice, Range, Space, measure_distance

SPACE = Space({"a.rate": Range(0.01, 1.0, log=True), "a.kind": Choice(("x", None))})


def make_trials(places, kind="x"):
    """Complete trials at these values of the rate, from best to worst where less is better."""
    study = optuna.create_study()
    for value, rate in enumerate(places):
        params = SPACE.encode({"a.rate": rate, "a.kind": kind})
        study.add_trial(
            create_trial(params=params, distributions=SPACE.distributions, value=float(value))
        )
    return study.trials


def test_distances_are_shares_of_the_axes_and_choices_differ_or_not():
    def measure(ours, theirs):
        ours, theirs = ({"a.rate": rate, "a.kind": kind} for rate, kind in (ours, theirs))
        return measure_distance(SPACE, ours, theirs)

    assert measure((0.1, "x"), (0.1, "x")) == 0
    assert measure((0.01, "x"), (1.0, "x")) == pytest.approx(0.5)  # one of two settings
    assert measure((0.1, "x"), (0.01, None)) == pytest.approx((0.5 + 1) / 2)


def test_the_best_trials_race_and_near_ones_only_once():
    trials = make_trials([0.1, 0.1001, 1.0, 0.01, 0.3] + [0.02] * 10)
    assert [each.number for each in choose_trials(trials, SPACE, -1.0, 8)] == [0, 2, 3]
    assert [each.number for each in choose_trials(trials, SPACE, -1.0, 2.9)] == [0, 2]
    assert choose_trials(trials, SPACE, 1.0, 1)[0].number == 14  # where more is better
    assert not choose_trials(trials[:4], SPACE, -1.0, 8)  # the best of few is not much luck
    assert len(choose_trials(make_trials([0.01 * 1.2**n for n in range(24)] * 3), SPACE, -1.0, 99)) < MOST_RACERS  # fmt: skip


def test_the_worse_half_is_left_behind_until_two_are_left():
    values = {None: [0.5, 0.7], 3: [0.4, 0.4], 7: [0.9, 0.1], 9: [0.8, 0.8], 11: [0.2, 0.3]}
    assert keep_half(list(values), values, -1.0) == [11, 3, 7]
    assert keep_half(list(values), values, 1.0) == [9, None, 7]
    assert keep_half([11, 3], values, -1.0) == [11, 3]
    assert rank([None, 5], {None: [0.5], 5: [0.5]}, -1.0) == [None, 5]  # the defaults win a tie


def test_the_clock_keeps_a_fifth_for_a_race_where_that_is_enough():
    spent = {"started": time.perf_counter() - 50, "defaults": 2.0, "best": 3.0}
    clock = Clock(100.0, num_pairs=5, has_race=True, **spent)
    verdict = 5 * 5.75  # a pair takes 2 + 3 s, and 15 % more
    assert clock.search_left == pytest.approx(46 - verdict - 20, abs=0.5)
    assert clock.race_left == pytest.approx(46 - verdict, abs=0.5)
    assert clock.most_racers == pytest.approx(3, abs=0.1)  # two rounds of three take 17 s
    assert clock.has_time_to_race(5)
    assert not clock.has_time_to_race(7)
    assert count_fits(9) == 2 * (9 + 5 + 3 + 2)
    few = Clock(60.0, 0, time.perf_counter(), defaults=7.0, best=7.0, has_race=True)
    assert few.most_racers == pytest.approx(
        3
    )  # 54 of 56 s are two rounds of three, with nothing after them
    quick = Clock(1000.0, 5, time.perf_counter(), defaults=1.0, best=1.0, has_race=True)
    assert quick.search_left == pytest.approx(996 - 5 * 2.3 - 38 * 1.15, abs=0.5)
    clock.best = 10.0  # two rounds of three take more than a fifth
    assert clock.search_left == pytest.approx(46 - 40, abs=0.5)
    assert Clock(None, 5, has_race=True).most_racers == float("inf")


def test_on_folds_race_and_verdict_take_single_trainings():
    clock = Clock(100.0, 5, time.perf_counter(), defaults=10.0, best=15.0, fits_per_trial=5)
    assert clock.pair == pytest.approx(1.15 * 5)


def test_trials_are_on_folds_where_there_is_time_for_enough_of_them():
    clock = Clock(1000.0, 0, time.perf_counter(), defaults=996 / 100 - 0.1)
    assert choose_folds(clock) == 5  # 100 on one split
    clock.defaults = 996 / 100 + 0.1
    assert choose_folds(clock) == 0
