"""Regression metrics by name, in the units of the target: rmse, mae, r2, rmsle; coverage of intervals."""

import numpy as np

from bert_playground.training.metrics import scikit_metrics as sk
from bert_playground.training.metrics.metric import Array, Metric

# Of |z| for a standard normal z: so far reach the intervals that hold 68 and 95 %.
QUANTILES = {68: 0.994457883209753, 95: 1.959963984540054}


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


def log10_score(labels: Array, scores: Array) -> float:
    """1 - the root of the mean squared error of log10(1 + y), as MachineHack judges prices; 1 is perfect."""
    return 1 - rmsle(labels, scores) / float(np.log(10))


def measure_coverage(labels: Array, scores: Array) -> dict[str, float]:
    """How many targets lie in the 68 % and 95 % intervals around their means: 0.68 and 0.95 when uncertainty is right.

    Args:
        labels: [N], standardised, as the model sees them.
        scores: [N, 2], means and standard deviations.
    """
    distances = np.abs(labels - scores[:, 0]) / scores[:, 1]
    return {
        f"coverage_{percent}": float((distances <= quantile).mean())
        for percent, quantile in QUANTILES.items()
    }


TASKS = ("regression", "timeseries")
REGRESSION = {
    "rmse": Metric(rmse, higher_is_better=False, tasks=TASKS),
    "mae": Metric(mae, higher_is_better=False, tasks=TASKS),
    "r2": Metric(r2, higher_is_better=True, tasks=TASKS),
    "rmsle": Metric(rmsle, higher_is_better=False, tasks=TASKS),
    "log10_score": Metric(log10_score, higher_is_better=True, tasks=TASKS),
}
