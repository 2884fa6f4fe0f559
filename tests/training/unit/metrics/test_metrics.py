"""Metrics against scikit-learn, on random answers."""

import numpy as np
import pytest
from sklearn import metrics as sk

from bert_playground.training.metrics import METRICS, choose_monitor, look_up_metric, make_report
from bert_playground.training.metrics.baseline import baseline_scores

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 80)
SCORES = np.clip(LABELS * 0.3 + RANDOM.random(80) * 0.7, 0, 1)
MANY_LABELS = RANDOM.integers(0, 4, 120)
MANY_SCORES = RANDOM.dirichlet(np.ones(4), 120) * 0.7 + np.eye(4)[MANY_LABELS] * 0.3
NUMBERS = RANDOM.random(60) * 1e5
ESTIMATES = NUMBERS + RANDOM.standard_normal(60) * 1e4

BINARY = {
    "accuracy": lambda: sk.accuracy_score(LABELS, SCORES >= 0.5),
    "balanced_accuracy": lambda: sk.balanced_accuracy_score(LABELS, SCORES >= 0.5),
    "f1": lambda: sk.f1_score(LABELS, SCORES >= 0.5),
    "f1_macro": lambda: sk.f1_score(LABELS, SCORES >= 0.5, average="macro"),
    "precision": lambda: sk.precision_score(LABELS, SCORES >= 0.5),
    "recall": lambda: sk.recall_score(LABELS, SCORES >= 0.5),
    "roc_auc": lambda: sk.roc_auc_score(LABELS, SCORES),
    "average_precision": lambda: sk.average_precision_score(LABELS, SCORES),
    "log_loss": lambda: sk.log_loss(LABELS, SCORES),
    "matthews": lambda: sk.matthews_corrcoef(LABELS, SCORES >= 0.5),
}
CHOSEN = MANY_SCORES.argmax(axis=1)
MULTICLASS = {
    "accuracy": lambda: sk.accuracy_score(MANY_LABELS, CHOSEN),
    "balanced_accuracy": lambda: sk.balanced_accuracy_score(MANY_LABELS, CHOSEN),
    "f1": lambda: sk.f1_score(MANY_LABELS, CHOSEN, average="macro"),
    "f1_macro": lambda: sk.f1_score(MANY_LABELS, CHOSEN, average="macro"),
    "precision": lambda: sk.precision_score(MANY_LABELS, CHOSEN, average="macro"),
    "recall": lambda: sk.recall_score(MANY_LABELS, CHOSEN, average="macro"),
    "roc_auc": lambda: sk.roc_auc_score(MANY_LABELS, MANY_SCORES, multi_class="ovr"),
    "average_precision": lambda: sk.average_precision_score(np.eye(4)[MANY_LABELS], MANY_SCORES),
    "log_loss": lambda: sk.log_loss(MANY_LABELS, MANY_SCORES),
    "matthews": lambda: sk.matthews_corrcoef(MANY_LABELS, CHOSEN),
}
REGRESSION = {
    "rmse": lambda: sk.root_mean_squared_error(NUMBERS, ESTIMATES),
    "mae": lambda: sk.mean_absolute_error(NUMBERS, ESTIMATES),
    "r2": lambda: sk.r2_score(NUMBERS, ESTIMATES),
    "rmsle": lambda: sk.root_mean_squared_log_error(NUMBERS, np.maximum(ESTIMATES, 0)),
}


def test_each_metric_is_checked_here() -> None:
    assert set(METRICS) == set(BINARY) | set(REGRESSION)
    assert set(MULTICLASS) == set(BINARY)


@pytest.mark.parametrize("name", BINARY)
def test_binary_metrics_equal_scikit_learn(name: str) -> None:
    assert METRICS[name].compute(LABELS, SCORES) == pytest.approx(BINARY[name](), abs=1e-9)


@pytest.mark.parametrize("name", MULTICLASS)
def test_multiclass_metrics_equal_scikit_learn(name: str) -> None:
    assert METRICS[name].compute(MANY_LABELS, MANY_SCORES) == pytest.approx(
        MULTICLASS[name](), abs=1e-9
    )


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_equal_scikit_learn(name: str) -> None:
    assert METRICS[name].compute(NUMBERS, ESTIMATES) == pytest.approx(REGRESSION[name](), rel=1e-9)


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert np.isfinite(METRICS["log_loss"].compute(np.array([1]), np.array([0.0])))


def test_a_single_class_leaves_roc_auc_out_of_the_report() -> None:
    report = make_report("binary")(np.zeros(5, dtype=int), SCORES[:5])
    assert "roc_auc" not in report
    assert set(report) == {"accuracy", "f1", "log_loss"}


def test_rmsle_is_left_out_when_targets_are_negative() -> None:
    report = make_report("regression")
    assert "rmsle" not in report(np.array([-1.0, 2.0]), np.array([0.0, 1.0]))
    assert "rmsle" in report(np.array([1.0, 2.0]), np.array([0.0, 1.0]))


def test_regression_is_judged_in_the_units_of_the_target() -> None:
    report = make_report("regression", decode=lambda values: values * 100 + 1000)
    assert report(np.array([0.0, 1.0]), np.array([0.5, 1.5]))["mae"] == pytest.approx(50)


def test_a_metric_asked_for_is_reported_too() -> None:
    assert "matthews" in make_report("binary", "matthews")(LABELS, SCORES)


def test_a_mistyped_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        look_up_metric("val_acuracy", "binary")


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit a binary task; choose one of: accuracy"):
        look_up_metric("rmse", "binary")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None), ("val_loss", "min")),
        (("val_roc_auc", None), ("val_roc_auc", "max")),
        (("log_loss", None), ("val_log_loss", "min")),
        (("val_loss", None), ("val_loss", "min")),
        (("val_accuracy", "min"), ("val_accuracy", "min")),
    ],
)
def test_the_monitor_has_its_metrics_direction(asked, expected) -> None:
    assert choose_monitor("binary", *asked) == expected


def test_the_baseline_is_the_majority_and_the_mean() -> None:
    binary = baseline_scores(np.array([0, 0, 1, 0]), 2, 2)
    assert binary.tolist() == [0.25, 0.25]
    assert baseline_scores(np.array([0, 2, 2, 1]), 3, 3).argmax(axis=1).tolist() == [2, 2, 2]
    assert baseline_scores(np.array([1.0, 3.0]), 1, None).tolist() == [2.0]
