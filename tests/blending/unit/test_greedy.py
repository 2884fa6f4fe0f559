"""select_greedily against trying every mean of up to four members."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from bert_playground.blending import greedy
from bert_playground.blending.greedy import select_greedily
from bert_playground.training.objectives import make_objective

RANDOM = np.random.default_rng(3)
TRUTH = RANDOM.normal(size=300)
LABELS = (RANDOM.random(300) < 1 / (1 + np.exp(-2 * TRUTH))).astype(np.int64)


def noisy(*noises, seed=0):
    random = np.random.default_rng(seed)
    return np.stack(
        [1 / (1 + np.exp(-(2 * TRUTH + random.normal(size=300) * noise))) for noise in noises]
    )


MEMBERS = noisy(1.0, 1.5, 2.0)


def best_by_brute_force(judge, num_steps):
    found = []
    for size in range(1, num_steps + 1):
        for chosen in combinations_with_replacement(range(3), size):
            found.append(judge(MEMBERS[list(chosen)].mean(axis=0)))
    return max(found)


@pytest.mark.parametrize("by", ["loss", "metric"])
def test_greedy_finds_what_brute_force_finds(monkeypatch, by):
    monkeypatch.setattr(greedy, "NUM_STEPS", 4)
    objective = make_objective("binary", "log_loss")
    weights = select_greedily(MEMBERS, LABELS, objective, by=by)
    reached = objective.judge(LABELS, np.tensordot(weights, MEMBERS, axes=1))
    best = best_by_brute_force(lambda mean: objective.judge(LABELS, mean), 4)
    assert reached == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(
    ("task", "metric"),
    [("binary", "accuracy"), ("binary", "roc_auc"), ("regression", "mae"), ("regression", "rmse")],
)
@pytest.mark.parametrize("by", ["loss", "metric"])
def test_weights_sum_to_one(task, metric, by):
    labels = LABELS if task == "binary" else TRUTH
    weights = select_greedily(MEMBERS, labels, make_objective(task, metric), by=by)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0


def test_selection_never_falls_behind_the_best_member():
    objective = make_objective("binary", "accuracy")
    weights = select_greedily(MEMBERS, LABELS, objective, by="metric")
    blended = objective.judge(LABELS, np.tensordot(weights, MEMBERS, axes=1))
    assert blended >= max(objective.judge(LABELS, each) for each in MEMBERS)


def test_squared_error_is_that_of_the_mean():
    members = np.random.default_rng(0).normal(size=(3, 300))
    loss = greedy._Loss(members, TRUTH, "regression")
    counts = np.array([2, 0, 1])
    expected = [
        np.square((2 * members[0] + members[2] + members[added]) / 4 - TRUTH).mean()
        for added in range(3)
    ]
    np.testing.assert_allclose(loss.of_additions(counts), expected)


def test_wrong_member_gets_nothing():
    calibrated = 1 / (1 + np.exp(-2 * TRUTH))
    members = np.stack([calibrated, *MEMBERS, 1 - MEMBERS[0]])
    assert select_greedily(members, LABELS, make_objective("binary", "log_loss"))[4] == 0


def test_selection_is_the_same_each_time():
    objective = make_objective("binary", "roc_auc")
    first, second = (select_greedily(MEMBERS, LABELS, objective) for _ in range(2))
    np.testing.assert_array_equal(first, second)
