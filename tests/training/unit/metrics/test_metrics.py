"""Metrics against scikit-learn, on random answers."""

import numpy as np
import pytest
from sklearn import metrics as sk

from bert_playground.training.metrics import METRICS, choose_monitor, look_up_metric, make_scorer
from bert_playground.training.metrics.baseline import baseline_scores
from bert_playground.training.metrics.multilabel import report_each
from bert_playground.training.metrics.scorer import TABLES

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
    "log10_score": lambda: (
        1
        - sk.root_mean_squared_error(np.log10(1 + NUMBERS), np.log10(1 + np.maximum(ESTIMATES, 0)))
    ),
}


SEVERAL_LABELS = RANDOM.integers(0, 2, (90, 3))
SEVERAL_SCORES = np.clip(SEVERAL_LABELS * 0.3 + RANDOM.random((90, 3)) * 0.7, 0, 1)
THERE = SEVERAL_SCORES >= 0.5
MULTILABEL = {
    "accuracy": lambda: 1 - sk.hamming_loss(SEVERAL_LABELS, THERE),
    "exact_match": lambda: sk.accuracy_score(SEVERAL_LABELS, THERE),
    "f1_micro": lambda: sk.f1_score(SEVERAL_LABELS, THERE, average="micro"),
    "f1_macro": lambda: sk.f1_score(SEVERAL_LABELS, THERE, average="macro"),
    "roc_auc": lambda: sk.roc_auc_score(SEVERAL_LABELS, SEVERAL_SCORES),
    "average_precision": lambda: sk.average_precision_score(SEVERAL_LABELS, SEVERAL_SCORES),
    "log_loss": lambda: np.mean(
        [sk.log_loss(SEVERAL_LABELS[:, i], SEVERAL_SCORES[:, i]) for i in range(3)]
    ),
}
# The median class by its definition: the first with at least half of the probability up to it.
MIDDLE = np.array([next(k for k in range(4) if row[: k + 1].sum() >= 0.5) for row in MANY_SCORES])
ORDINAL = {
    "quadratic_kappa": lambda: sk.cohen_kappa_score(MANY_LABELS, MIDDLE, weights="quadratic"),
    "mae": lambda: sk.mean_absolute_error(MANY_LABELS, MIDDLE),
    "accuracy": lambda: sk.accuracy_score(MANY_LABELS, MIDDLE),
    "log_loss": lambda: sk.log_loss(MANY_LABELS, MANY_SCORES),
}
STEPS = NUMBERS.reshape(20, 3)
FORECASTS = ESTIMATES.reshape(20, 3)
CHECKED_BELOW = {"ece", "quadratic_kappa"}


def test_each_metric_is_checked_here() -> None:
    assert set(TABLES["binary"]) == set(BINARY) | {"ece"}
    assert set(TABLES["multiclass"]) == set(MULTICLASS) | CHECKED_BELOW
    assert set(TABLES["multilabel"]) == set(MULTILABEL)
    assert set(TABLES["ordinal"]) == set(ORDINAL)
    assert set(TABLES["regression"]) == set(TABLES["timeseries"]) == set(REGRESSION)
    assert set(METRICS) == {name for table in TABLES.values() for name in table}


@pytest.mark.parametrize("name", MULTILABEL)
def test_multilabel_metrics_equal_scikit_learn(name: str) -> None:
    metric = TABLES["multilabel"][name]
    assert metric.compute(SEVERAL_LABELS, SEVERAL_SCORES) == pytest.approx(MULTILABEL[name]())


@pytest.mark.parametrize("name", ORDINAL)
def test_ordinal_metrics_equal_scikit_learn_on_the_median_class(name: str) -> None:
    metric = TABLES["ordinal"][name]
    assert metric.compute(MANY_LABELS, MANY_SCORES) == pytest.approx(ORDINAL[name](), abs=1e-9)


def test_the_kappa_of_classes_takes_the_most_probable_one() -> None:
    expected = sk.cohen_kappa_score(MANY_LABELS, CHOSEN, weights="quadratic")
    assert TABLES["multiclass"]["quadratic_kappa"].compute(
        MANY_LABELS, MANY_SCORES
    ) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_metrics_of_several_steps_count_every_step_alike(name: str) -> None:
    expected = {
        "rmse": np.sqrt(np.mean((STEPS - FORECASTS) ** 2)),
        "mae": np.abs(STEPS - FORECASTS).mean(),
        "r2": sk.r2_score(STEPS, FORECASTS),
    }[name]
    assert TABLES["timeseries"][name].compute(STEPS, FORECASTS) == pytest.approx(expected)


def test_the_calibration_error_is_its_definition() -> None:
    labels, scores = np.array([1, 0, 1, 1]), np.array([0.97, 0.95, 0.62, 0.3])
    # (14/15, 1]: 0.97 right, 0.95 wrong; (9/15, 10/15]: 0.62 right; (10/15, 11/15]: 1 - 0.3 wrong.
    expected = (2 * abs(0.96 - 0.5) + abs(0.62 - 1) + abs(0.7 - 0)) / 4
    assert METRICS["ece"].compute(labels, scores) == pytest.approx(expected)
    table = np.stack([1 - scores, scores], axis=1)
    assert METRICS["ece"].compute(labels, table) == pytest.approx(expected)


def test_probabilities_that_come_true_have_no_calibration_error() -> None:
    scores = np.full(1000, 0.7)
    labels = (np.arange(1000) < 700).astype(int)
    assert METRICS["ece"].compute(labels, scores) == pytest.approx(0, abs=1e-12)


def test_learned_thresholds_change_decisions_and_nothing_else() -> None:
    plain = make_scorer("multilabel")(SEVERAL_LABELS, SEVERAL_SCORES)
    moved = make_scorer("multilabel", thresholds=(0.3, 0.5, 0.8))(SEVERAL_LABELS, SEVERAL_SCORES)
    decided = np.asarray(SEVERAL_SCORES) >= [0.3, 0.5, 0.8]
    assert moved["f1_macro"] == pytest.approx(sk.f1_score(SEVERAL_LABELS, decided, average="macro"))
    assert (moved["roc_auc"], moved["log_loss"]) == (plain["roc_auc"], plain["log_loss"])


def test_an_uncertain_regression_reports_how_many_targets_its_intervals_hold() -> None:
    means, deviations = RANDOM.normal(0, 3, 20_000), RANDOM.uniform(0.5, 4, 20_000)
    labels = means + deviations * RANDOM.standard_normal(20_000)
    report = make_scorer("regression", decode=_first_column)
    right = report(labels, np.stack([means, deviations], axis=1))
    assert right["coverage_68"] == pytest.approx(0.68, abs=0.02)
    assert right["coverage_95"] == pytest.approx(0.95, abs=0.01)
    too_sure = report(labels, np.stack([means, deviations / 2], axis=1))
    assert too_sure["coverage_95"] < 0.75
    assert right["rmse"] == pytest.approx(np.sqrt(np.mean((labels - means) ** 2)))


def _first_column(values: np.ndarray) -> np.ndarray:
    return values[:, 0] if values.ndim == 2 else values


def test_a_label_that_all_rows_share_leaves_roc_auc_out() -> None:
    labels = np.array([[1, 0], [1, 1], [1, 0]])
    values = make_scorer("multilabel")(labels, SEVERAL_SCORES[:3, :2])
    assert "roc_auc" not in values
    assert set(report_each(labels, SEVERAL_SCORES[:3, :2], ["a", "b"])) == {"roc_auc b"}


def test_a_constant_answer_for_several_labels_is_their_frequency() -> None:
    assert (
        baseline_scores(SEVERAL_LABELS, 2, 3).tolist()
        == [pytest.approx(SEVERAL_LABELS.mean(axis=0))] * 2
    )
    assert baseline_scores(np.array([0, 1, 1]), 1, 2, task="ordinal").shape == (1, 2)


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
    report = make_scorer("binary")(np.zeros(5, dtype=int), SCORES[:5])
    assert "roc_auc" not in report
    assert set(report) == {"accuracy", "f1", "log_loss"}


def test_rmsle_is_left_out_when_targets_are_negative() -> None:
    report = make_scorer("regression")
    assert "rmsle" not in report(np.array([-1.0, 2.0]), np.array([0.0, 1.0]))
    assert "rmsle" in report(np.array([1.0, 2.0]), np.array([0.0, 1.0]))


def test_regression_is_judged_in_the_units_of_the_target() -> None:
    report = make_scorer("regression", decode=lambda values: values * 100 + 1000)
    assert report(np.array([0.0, 1.0]), np.array([0.5, 1.5]))["mae"] == pytest.approx(50)


def test_a_metric_asked_for_is_reported_too() -> None:
    assert "matthews" in make_scorer("binary", "matthews")(LABELS, SCORES)


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


@pytest.mark.parametrize("scores", [np.ones(4), np.array([[0.0, 1.0]] * 4)])
def test_a_loss_of_nothing_has_no_sign(scores: np.ndarray) -> None:
    loss = METRICS["log_loss"].compute(np.ones(4, dtype=np.int64), scores)
    assert (loss, str(loss)) == (0.0, "0.0")
