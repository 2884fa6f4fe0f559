"""Metrics of ordered classes by name: quadratic kappa, mae in classes, accuracy, log_loss."""

import numpy as np

from bert_playground.data.targets.label_encoder import choose_median
from bert_playground.training.metrics.classification import kappa_of, log_loss
from bert_playground.training.metrics.metric import Array, Metric

ORDINAL_TASKS = ("ordinal",)


def quadratic_kappa(labels: Array, scores: Array) -> float:
    """Cohen's kappa with quadratic weights: 1 is perfect, 0 what chance agrees on."""
    return kappa_of(labels, choose_median(scores), scores.shape[1])


def mae(labels: Array, scores: Array) -> float:
    """By how many classes the answer errs on average."""
    return float(np.abs(labels - choose_median(scores)).mean())


def accuracy(labels: Array, scores: Array) -> float:
    """The part of the rows whose class is right."""
    return float((labels == choose_median(scores)).mean())


ORDINAL = {
    "quadratic_kappa": Metric(
        quadratic_kappa, higher_is_better=True, tasks=ORDINAL_TASKS, decides=True
    ),
    "mae": Metric(mae, higher_is_better=False, tasks=ORDINAL_TASKS, decides=True),
    "accuracy": Metric(accuracy, higher_is_better=True, tasks=ORDINAL_TASKS, decides=True),
    "log_loss": Metric(log_loss, higher_is_better=False, tasks=ORDINAL_TASKS),
}
