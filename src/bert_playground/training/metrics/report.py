"""METRICS, and the report of an evaluation: a sensible set of them for each task."""

from collections.abc import Callable

from loguru import logger

from bert_playground.lookup import look_up
from bert_playground.training.metrics.classification import CLASSIFICATION
from bert_playground.training.metrics.metric import Array, Metric
from bert_playground.training.metrics.regression import REGRESSION

METRICS: dict[str, Metric] = {**CLASSIFICATION, **REGRESSION}

REPORTED = {
    "binary": ("accuracy", "f1", "roc_auc", "log_loss"),
    "multiclass": ("accuracy", "f1_macro", "log_loss"),
    "regression": ("rmse", "mae", "r2", "rmsle"),
}


def look_up_metric(name: str, task: str) -> Metric:
    """The metric of this name, with or without "val_" before it.

    Raises:
        ValueError: the name is unknown, or the metric cannot judge this task.
    """
    metric = look_up(METRICS, name.removeprefix("val_"), "metric")
    if task not in metric.tasks:
        fitting = ", ".join(
            sorted(other for other, entry in METRICS.items() if task in entry.tasks)
        )
        raise ValueError(f"metric {name!r} does not fit a {task} task; choose one of: {fitting}")
    return metric


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


def make_report(
    task: str, *also: str, decode: Callable[[Array], Array] | None = None
) -> Callable[[Array, Array], dict[str, float]]:
    """A function (labels, scores) -> metrics by name.

    A metric that is not defined on the rows is left out, and a note is logged the first time.

    Args:
        task: the task's name.
        also: metrics beside the usual ones.
        decode: for regression, from the model's standardised numbers to the units of the target.
    """
    names = tuple(dict.fromkeys((*REPORTED[task], *also)))
    metrics = {name: look_up_metric(name, task) for name in names}
    noted: set[str] = set()

    def report(labels: Array, scores: Array) -> dict[str, float]:
        if decode is not None:
            labels, scores = decode(labels), decode(scores)
        values: dict[str, float] = {}
        for name, metric in metrics.items():
            try:
                values[name] = metric.compute(labels, scores)
            except ValueError as error:
                if name not in noted:
                    logger.info(f"{name} is left out of the report: {error}")
                    noted.add(name)
        return values

    return report
