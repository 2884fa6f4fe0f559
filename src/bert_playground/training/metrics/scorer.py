"""METRICS; make_scorer: the metrics of an evaluation, a sensible set for each task."""

from collections.abc import Callable, Sequence
from functools import partial

from bert_playground.blending.decision import Decision
from bert_playground.data.targets.multilabel import decide as decide_labels
from bert_playground.logger import logger
from bert_playground.lookup import look_up
from bert_playground.training.metrics.calibration_error import CALIBRATION
from bert_playground.training.metrics.classification import CLASSIFICATION
from bert_playground.training.metrics.metric import Array, Metric
from bert_playground.training.metrics.multilabel import MULTILABEL
from bert_playground.training.metrics.ordinal import ORDINAL
from bert_playground.training.metrics.regression import REGRESSION, measure_coverage

CLASSES = {**CLASSIFICATION, **CALIBRATION}
# The same name may judge another kind of answer: the accuracy of several labels is another function.
TABLES: dict[str, dict[str, Metric]] = {
    "binary": {name: metric for name, metric in CLASSES.items() if "binary" in metric.tasks},
    "multiclass": CLASSES,
    "multilabel": MULTILABEL,
    "ordinal": ORDINAL,
    "regression": REGRESSION,
    "timeseries": REGRESSION,
}
METRICS: dict[str, Metric] = {**MULTILABEL, **ORDINAL, **REGRESSION, **CLASSES}

REPORTED = {
    "binary": ("accuracy", "f1", "roc_auc", "log_loss"),
    "multiclass": ("accuracy", "f1_macro", "log_loss"),
    "multilabel": ("roc_auc", "f1_micro", "f1_macro", "exact_match", "log_loss"),
    "ordinal": ("quadratic_kappa", "mae", "accuracy", "log_loss"),
    "regression": ("rmse", "mae", "r2", "rmsle"),
    "timeseries": ("rmse", "mae", "r2"),
}


def look_up_metric(name: str, task: str) -> Metric:
    """The metric of this name, with or without "val_" before it.

    Raises:
        ValueError: the name is unknown, or the metric cannot judge this task.
    """
    name = name.removeprefix("val_")
    look_up(METRICS, name, "metric")
    fitting = TABLES[task]
    if name not in fitting:
        raise ValueError(
            f"metric {name!r} does not fit a {task} task; choose one of: {', '.join(sorted(fitting))}"
        )
    return fitting[name]


def choose_monitor(task: str, metric: str | None, mode: str | None = None) -> tuple[str, str]:
    """Which value decides the best epoch: its name with "val_" before it, and "max" or "min".

    Unasked, it is the loss. The best of many accuracies on few rows is mostly luck: on ten held-out parts of Titanic,
    the epoch with the best accuracy promised 0.839 and kept 0.797, the one with the best loss 0.813 and 0.803.

    Args:
        task: the task's name.
        metric: what the user asked for, such as "val_accuracy", "accuracy" or "val_loss"; None: the loss.
        mode: "max" or "min"; None: the metric's own direction.

    Raises:
        ValueError: no such metric for the task.
    """
    name = (metric or "loss").removeprefix("val_")
    if name == "loss":
        return "val_loss", mode or "min"
    higher_is_better = look_up_metric(name, task).higher_is_better
    return f"val_{name}", mode or ("max" if higher_is_better else "min")


def make_scorer(
    task: str,
    *also: str,
    decode: Callable[[Array], Array] | None = None,
    thresholds: Sequence[float] | None = None,
    decision: Decision | None = None,
) -> Callable[[Array, Array], dict[str, float]]:
    """A function (labels, scores) -> metrics by name.

    A metric that is not defined on the rows is left out, and a note is logged the first time. A regression that knows its
    uncertainty also gets the coverage of its intervals.

    Args:
        task: the task's name.
        also: metrics beside the usual ones.
        decode: for numbers, from the model's standardised ones to the units of the target.
        thresholds: for several labels, from which probability on each is there; None: 0.5.
        decision: how scores are read as classes by the metrics that look at those; None: as usual. It stands for
            `thresholds` where both are given.
    """
    if decision is None and thresholds is not None:
        decide: Callable[[Array], Array] = partial(decide_labels, thresholds=thresholds)
    else:
        decide = _keep if decision is None else decision.apply
    names = tuple(dict.fromkeys((*REPORTED[task], *also)))
    metrics = {name: look_up_metric(name, task) for name in names}
    noted: set[str] = set()

    def score(labels: Array, scores: Array) -> dict[str, float]:
        values: dict[str, float] = {}
        if task == "regression" and scores.ndim == 2:
            values |= measure_coverage(labels, scores)
            scores = scores if decode is not None else scores[:, 0]
        if decode is not None:
            labels, scores = decode(labels), decode(scores)
        decided = decide(scores)
        for name, metric in metrics.items():
            try:
                values[name] = metric.compute(labels, decided if metric.decides else scores)
            except ValueError as error:
                if name not in noted:
                    logger.info(f"{name} is left out of the metrics: {error}")
                    noted.add(name)
        return values

    return score


def _keep(scores: Array) -> Array:
    return scores
