"""Combiner: each method's formula, and the way through a file."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bert_playground.blending import Combiner
from bert_playground.blending.combiner import METHODS
from bert_playground.blending.fit_combiner import fit_combiner
from bert_playground.training.objectives import make_objective

RANDOM = np.random.default_rng(5)
ROWS = 200


def problem(task):
    """Answers of three members, and labels that follow from them."""
    shape = {"binary": (ROWS,), "regression": (ROWS,)}.get(task, (ROWS, 3))
    random = np.random.default_rng(1)
    logits = random.normal(size=shape) * 2
    noisy = [logits + random.normal(size=shape) for _ in range(3)]
    if task in ("regression", "timeseries"):
        return noisy, logits
    if task in ("multiclass", "ordinal"):
        powers = [np.exp(each) for each in noisy]
        return [each / each.sum(axis=1, keepdims=True) for each in powers], logits.argmax(axis=1)
    return [1 / (1 + np.exp(-each)) for each in noisy], (logits > 0).astype(np.int64)


CASES = [
    (task, method)
    for task in ("binary", "multiclass", "multilabel", "ordinal", "regression", "timeseries")
    for method in METHODS
    if task not in ("regression", "timeseries") or method in ("greedy", "mean")
]


@pytest.mark.parametrize(("task", "method"), CASES)
def test_combiner_comes_back_from_a_file_with_the_same_answers(task, method):
    answers, labels = problem(task)
    combiner = fit_combiner(answers, labels, make_objective(task), method)
    again = Combiner.from_dict(json.loads(json.dumps(combiner.to_dict())))
    assert again == combiner
    fewer = [each[:7].astype(np.float32) for each in answers]
    np.testing.assert_array_equal(again.combine(fewer), combiner.combine(fewer))
    assert combiner.combine(fewer).shape == fewer[0].shape


@pytest.mark.parametrize(("task", "method"), CASES)
def test_probabilities_stay_probabilities(task, method):
    answers, labels = problem(task)
    blended = fit_combiner(answers, labels, make_objective(task), method).combine(answers)
    if task in ("multiclass", "ordinal"):
        np.testing.assert_allclose(blended.sum(axis=1), 1)
    if task not in ("regression", "timeseries"):
        assert blended.min() >= 0
        assert blended.max() <= 1


def test_mean_is_the_mean():
    answers, labels = problem("binary")
    combiner = fit_combiner(answers, labels, make_objective("binary"), "mean")
    np.testing.assert_allclose(combiner.combine(answers), np.mean(answers, axis=0))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_rank_mean_is_the_same_after_any_rising_function(task):
    answers, labels = problem(task)
    objective = make_objective(task, "roc_auc")
    changed = [answers[0], answers[1] ** 5, np.exp(answers[2]) * 100 - 7]
    plain = fit_combiner(answers, labels, objective, "rank_mean")
    moved = fit_combiner(changed, labels, objective, "rank_mean")
    fewer = slice(0, 50)
    np.testing.assert_allclose(
        plain.combine([each[fewer] for each in answers]),
        moved.combine([each[fewer] for each in changed]),
    )


def test_rank_mean_of_many_rows_keeps_few_numbers():
    random = np.random.default_rng(0)
    scores, labels = random.random(5000), random.integers(0, 2, 5000)
    combiner = fit_combiner([scores], labels, make_objective("binary"), "rank_mean")
    assert [len(row) for row in combiner.knots] == [2001]
    np.testing.assert_allclose(combiner.rank(scores[None]).mean(), 0.5, atol=1e-3)


def test_logistic_of_two_classes_is_scikit_learns():
    answers, labels = problem("binary")
    logits = np.stack([np.log(each / (1 - each)) for each in answers], axis=1)
    expected = LogisticRegression(max_iter=1000).fit(logits, labels).predict_proba(logits)[:, 1]
    blended = fit_combiner(answers, labels, make_objective("binary"), "logistic").combine(answers)
    np.testing.assert_allclose(blended, expected, atol=1e-9)


def test_logistic_of_classes_is_scikit_learns():
    answers, labels = problem("multiclass")
    logs = np.concatenate([np.log(each) for each in answers], axis=1)
    expected = LogisticRegression(max_iter=1000).fit(logs, labels).predict_proba(logs)
    fitted = fit_combiner(answers, labels, make_objective("multiclass"), "logistic")
    np.testing.assert_allclose(fitted.combine(answers), expected, atol=1e-9)


@pytest.mark.parametrize("present", [(1,), (0, 2)])
def test_logistic_gives_a_class_without_rows_next_to_nothing(present):
    answers, labels = problem("multiclass")
    rows = np.isin(labels, present)
    fitted = fit_combiner(
        [each[rows] for each in answers], labels[rows], make_objective("multiclass"), "logistic"
    )
    absent = [number for number in range(3) if number not in present]
    assert fitted.combine(answers)[:, absent].max() < 1e-6


@pytest.mark.parametrize("method", ["rank_mean", "logistic"])
def test_numbers_have_no_ranks_or_odds(method):
    answers, labels = problem("regression")
    with pytest.raises(ValueError, match="asks for numbers; use greedy or mean"):
        fit_combiner(answers, labels, make_objective("regression"), method)


def test_unknown_method_gets_the_nearest():
    answers, labels = problem("binary")
    with pytest.raises(ValueError, match="did you mean 'greedy'"):
        fit_combiner(answers, labels, make_objective("binary"), "gredy")


def test_other_number_of_members_is_refused():
    combiner = Combiner("mean", "binary", (0.5, 0.5))
    with pytest.raises(ValueError, match="1 members answered, but the blend was fitted on 2"):
        combiner.combine([np.zeros(3)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"method": "magic"}, "unknown method of a blend"),
        ({"task": "telepathy"}, "unknown task"),
        ({"weights": [0.5, float("nan")]}, "no finite number"),
        ({"weights": ["a", 1]}, "no finite number"),
        ({"weights": [True, 0]}, "no finite number"),
        ({"weights": None}, "expected a list"),
        ({"weights": []}, "sum to 1"),
        ({"weights": [0.9, 0.9]}, "sum to 1"),
        ({"method": "rank_mean"}, "coefficients and intercepts"),
        ({"coefficients": [[1.0], [1.0, 2.0]]}, "differ in length"),
        ({"method": "rank_mean", "coefficients": [[1.0]], "intercepts": [0.0]}, "ranks of all"),
        ({"method": "logistic", "coefficients": 3}, "expected a list"),
    ],
)
def test_damaged_file_is_refused(damage, message):
    state = {"method": "greedy", "task": "binary", "weights": [0.5, 0.5], **damage}
    with pytest.raises(ValueError, match=message):
        Combiner.from_dict(state)
