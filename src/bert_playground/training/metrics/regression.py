"""Regression metrics by name, in the units of the target: rmse, mae, r2, rmsle."""

import numpy as np
from sklearn import metrics as sk

from bert_playground.training.metrics.metric import Array, Metric


def rmse(labels: Array, scores: Array) -> float:
    """Root of the mean squared error, in the units of the target."""
    return float(np.sqrt(sk.mean_squared_error(labels, scores)))


def mae(labels: Array, scores: Array) -> float:
    """Mean absolute error, in the units of the target."""
    return float(sk.mean_absolute_error(labels, scores))


def r2(labels: Array, scores: Array) -> float:
    """The part of the variance that is explained."""
    if len(labels) < 2 or np.ptp(labels) == 0:
        raise ValueError("the target does not vary")
    return float(sk.r2_score(labels, scores))


def rmsle(labels: Array, scores: Array) -> float:
    """Root of the mean squared error of log(1 + y); predictions below 0 count as 0."""
    if labels.min() < 0:
        raise ValueError("some targets are below 0")
    return float(np.sqrt(np.mean(np.square(np.log1p(labels) - np.log1p(np.maximum(scores, 0))))))


REGRESSION = {
    "rmse": Metric(rmse, higher_is_better=False, tasks=("regression",)),
    "mae": Metric(mae, higher_is_better=False, tasks=("regression",)),
    "r2": Metric(r2, higher_is_better=True, tasks=("regression",)),
    "rmsle": Metric(rmsle, higher_is_better=False, tasks=("regression",)),
}
