"""fit_decision: known optima are found, luck is not taken for one."""

import json

import numpy as np
import pytest

from bert_playground.blending import Decision
from bert_playground.blending.confusion import CONFUSION_METRICS, count_confusion
from bert_playground.blending.cut_points import fit_cut_points
from bert_playground.blending.decision import fit_decision
from bert_playground.blending.objective import decide_classes
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.training.metrics import look_up_metric, make_scorer
from bert_playground.training.objectives import make_objective

RANDOM = np.random.default_rng(11)


def rare(rows=2000, share=0.1):
    """Calibrated probabilities of a rare class, and labels drawn from them."""
    random = np.random.default_rng(0)
    scores = random.beta(share * 3, (1 - share) * 3, size=rows)
    return (random.random(rows) < scores).astype(np.int64), scores


@pytest.mark.parametrize("task", ["binary", "multiclass", "ordinal"])
@pytest.mark.parametrize("name", CONFUSION_METRICS)
def test_metric_of_a_confusion_matrix_is_scikit_learns(task, name):
    num_classes = 2 if task == "binary" else 4
    labels = RANDOM.integers(0, num_classes, 300)
    scores = RANDOM.random(300) if task == "binary" else RANDOM.random((300, num_classes))
    if task != "binary":  # a class that is never decided
        scores[:, 3] = 0
    try:
        metric = look_up_metric(name, task)
    except ValueError:
        return
    if task == "binary" and name == "quadratic_kappa":
        return
    counts = count_confusion(labels, decide_classes(scores, task), num_classes)
    ours = CONFUSION_METRICS[name](counts, task == "binary")
    assert float(ours) == pytest.approx(metric.compute(labels, scores), abs=1e-12)


@pytest.mark.parametrize("task", ["binary", "multiclass", "ordinal"])
def test_judge_is_the_metric_with_its_sign(task):
    scores = RANDOM.random(100) if task == "binary" else RANDOM.random((100, 3))
    labels = RANDOM.integers(0, 2 if task == "binary" else 3, 100)
    for name in ("accuracy", "log_loss", *(["mae"] if task == "ordinal" else [])):
        objective = make_objective(task, name)
        sign = 1 if objective.higher_is_better else -1
        expected = sign * objective.compute(labels, scores)
        assert objective.judge(labels, scores) == pytest.approx(expected)


def test_threshold_of_f1_is_half_of_the_best_f1():
    labels, scores = rare()
    decision = fit_decision(labels, scores, make_objective("binary", "f1"))
    assert decision is not None
    grid = np.linspace(0.01, 0.99, 99)
    f1 = look_up_metric("f1", "binary").compute
    best = max(f1(labels, (scores >= limit).astype(float)) for limit in grid)
    # Of calibrated probabilities the threshold that is best for F1 is half of that F1 (Lipton et al. 2014).
    assert decision.values[0] == pytest.approx(best / 2, abs=0.08)
    assert f1(labels, decision.apply(scores)) > best - 0.02
    assert f1(labels, decision.apply(scores)) > f1(labels, scores) + 0.05


def test_noise_gets_no_threshold_for_accuracy():
    objective, found = make_objective("binary", "accuracy"), []
    for seed in range(10):
        random = np.random.default_rng(seed)
        scores = np.clip(0.5 + random.normal(size=300) * 0.1, 0, 1)
        found.append(fit_decision(random.permutation(300) % 2, scores, objective))
    assert sum(decision is not None for decision in found) <= 1


def test_metric_of_probabilities_gets_no_decision():
    labels, scores = rare(200)
    assert fit_decision(labels, scores, make_objective("binary", "roc_auc")) is None


def test_rare_classes_get_larger_multipliers_for_balanced_accuracy():
    random = np.random.default_rng(2)
    labels = random.choice(3, size=1500, p=[0.8, 0.15, 0.05])
    logits = np.eye(3)[labels] * 1.5 + random.normal(size=(1500, 3)) + np.log([0.8, 0.15, 0.05])
    powers = np.exp(logits)
    scores = powers / powers.sum(axis=1, keepdims=True)
    objective = make_objective("multiclass", "balanced_accuracy")
    decision = fit_decision(labels, scores, objective)
    assert decision is not None
    assert decision.kind == "multipliers"
    assert list(decision.values) == sorted(decision.values)
    assert objective.judge(labels, decision.apply(scores)) > objective.judge(labels, scores) + 0.05


def ordered(rows=1500):
    """Ordered classes by known cut points on the expected class number."""
    random = np.random.default_rng(4)
    values = random.uniform(0.3, 2.7, size=rows)
    labels = np.searchsorted([0.9, 1.2, 2.2], values)
    # Probabilities of two neighbouring numbers, whose expectation is `values`.
    below = np.floor(values).astype(int)
    scores = np.zeros((rows, 4))
    scores[np.arange(rows), below] = 1 - (values - below)
    scores[np.arange(rows), below + 1] = values - below
    return labels, scores


def test_cut_points_are_found():
    labels, scores = ordered()
    objective = make_objective("ordinal", "quadratic_kappa")
    decision = fit_decision(labels, scores, objective)
    assert decision is not None
    assert decision.values == pytest.approx((0.9, 1.2, 2.2), abs=0.03)
    assert objective.judge(labels, decision.apply(scores)) > 0.98


def test_cut_points_rise_where_a_class_is_never_seen():
    labels, scores = ordered(300)
    of_confusion = make_objective("ordinal", "mae").of_confusion
    assert of_confusion is not None
    points = fit_cut_points(np.where(labels == 1, 2, labels), scores, of_confusion)
    assert np.isfinite(points).all()
    assert list(points) == sorted(points)


def test_thresholds_of_labels_are_theirs():
    random = np.random.default_rng(6)
    shares = np.array([0.1, 0.3])
    scores = random.beta(shares * 3, (1 - shares) * 3, size=(1500, 2))
    labels = (random.random((1500, 2)) < scores).astype(np.int64)
    objective = make_objective("multilabel", "f1_macro")
    decision = fit_decision(labels, scores, objective)
    assert decision is not None
    assert decision.kind == "thresholds"
    gain = objective.judge(labels, decision.apply(scores)) - objective.judge(labels, scores)
    assert gain > 0.05


@pytest.mark.parametrize(
    ("decision", "scores", "expected"),
    [
        (Decision("threshold", (0.3,)), [0.2, 0.3], [0, 1]),
        (Decision("thresholds", (0.3, 0.6)), [[0.4, 0.5]], [[1, 0]]),
        (Decision("multipliers", (0.2, 1.0)), [[0.7, 0.3]], [[0, 1]]),
        (Decision("cut_points", (0.2, 1.9)), [[0.7, 0.3, 0.0]], [[0, 1, 0]]),
    ],
)
def test_decision_has_the_shape_of_the_scores(decision, scores, expected):
    np.testing.assert_array_equal(decision.apply(np.array(scores)), expected)
    again = Decision.from_dict(json.loads(json.dumps(decision.to_dict())))
    assert again == decision


def test_label_encoder_reads_what_was_decided():
    import polars as pl

    encoder = LabelEncoder.fit(pl.Series("t", ["1", "2", "3"]), "ordinal")
    decided = Decision("cut_points", (0.2, 1.9)).apply(np.array([[0.7, 0.3, 0.0]]))
    assert encoder.decode(decided).to_list() == [2]


def test_scorer_decides_for_the_metrics_that_look_at_classes():
    labels, scores = rare(500)
    plain = make_scorer("binary")(labels, scores)
    moved = make_scorer("binary", decision=Decision("threshold", (0.2,)))(labels, scores)
    assert moved["f1"] > plain["f1"]
    assert (moved["roc_auc"], moved["log_loss"]) == (plain["roc_auc"], plain["log_loss"])


def test_scores_of_another_task_are_refused():
    with pytest.raises(ValueError, match="the decision is about 3 columns"):
        Decision("cut_points", (0.5, 1.5)).apply(np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"kind": "dice", "values": [1]}, "unknown kind of decision"),
        ({"kind": "threshold", "values": []}, "at least one"),
        ({"kind": "cut_points", "values": [2, 1]}, "rising"),
        ({"kind": "threshold", "values": [float("inf")]}, "no finite number"),
        ({"kind": "threshold"}, "expected a list"),
    ],
)
def test_damaged_decision_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        Decision.from_dict(state)
