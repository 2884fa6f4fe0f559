"""Metrics of decided classes from confusion matrices, many at once: how thresholds and cut points are searched in time."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MetricOfConfusion = Callable[[Array], Array]


def count_confusion(labels: Array, decided: Array, num_classes: int) -> Array:
    """[..., K, K] with the rows of label i and decided class j at [..., i, j].

    Args:
        labels: [R].
        decided: [..., R], classes.
        num_classes: K.
    """
    many = decided.reshape(-1, len(labels)).astype(np.int64)
    places = (np.arange(len(many))[:, None] * num_classes + labels.astype(np.int64)) * num_classes
    counts = np.bincount((places + many).ravel(), minlength=len(many) * num_classes**2)
    return counts.reshape(*decided.shape[:-1], num_classes, num_classes)


def _ratio(above: Array, below: Array) -> Array:
    """Quotients, 0 where there is nothing to divide by."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


def _hits(counts: Array) -> Array:
    return np.asarray(np.diagonal(counts, axis1=-2, axis2=-1))


def _average(values: Array, counts: Array, is_binary: bool) -> Array:
    """Of class 1, or the mean over the classes that are a label or were decided."""
    if is_binary:
        return np.asarray(values[..., 1])
    is_there = (counts.sum(axis=-1) + counts.sum(axis=-2)) > 0
    return np.asarray((values * is_there).sum(axis=-1) / is_there.sum(axis=-1))


def accuracy(counts: Array, is_binary: bool) -> Array:
    """The part of the rows that is right."""
    del is_binary
    return np.asarray(_hits(counts).sum(axis=-1) / counts.sum(axis=(-2, -1)))


def balanced_accuracy(counts: Array, is_binary: bool) -> Array:
    """The mean over the labels that are there of the part that is right."""
    del is_binary
    sizes = counts.sum(axis=-1)
    return np.asarray(_ratio(_hits(counts), sizes).sum(axis=-1) / (sizes > 0).sum(axis=-1))


def _f1_each(counts: Array) -> Array:
    return _ratio(2 * _hits(counts), counts.sum(axis=-1) + counts.sum(axis=-2))


def f1(counts: Array, is_binary: bool) -> Array:
    """F1 of class 1, or the mean over classes."""
    return _average(_f1_each(counts), counts, is_binary)


def f1_macro(counts: Array, is_binary: bool) -> Array:
    """The mean over classes of each one's F1."""
    del is_binary
    return _average(_f1_each(counts), counts, False)


def precision(counts: Array, is_binary: bool) -> Array:
    """Precision of class 1, or the mean over classes."""
    return _average(_ratio(_hits(counts), counts.sum(axis=-2)), counts, is_binary)


def recall(counts: Array, is_binary: bool) -> Array:
    """Recall of class 1, or the mean over classes."""
    return _average(_ratio(_hits(counts), counts.sum(axis=-1)), counts, is_binary)


def matthews(counts: Array, is_binary: bool) -> Array:
    """Matthews' correlation coefficient; Gorodkin 2004 for more than two classes."""
    del is_binary
    counts = counts.astype(np.float64)
    total = counts.sum(axis=(-2, -1))
    labels, decided = counts.sum(axis=-1), counts.sum(axis=-2)
    shared = _hits(counts).sum(axis=-1) * total - (labels * decided).sum(axis=-1)
    spread = (total**2 - (labels**2).sum(axis=-1)) * (total**2 - (decided**2).sum(axis=-1))
    return _ratio(shared, np.sqrt(spread))


def quadratic_kappa(counts: Array, is_binary: bool) -> Array:
    """Cohen's kappa with quadratic weights; NaN where all rows have one class on both sides."""
    del is_binary
    numbers = np.arange(counts.shape[-1])
    weights = np.square(numbers[:, None] - numbers)
    labels, decided = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = np.einsum("...i,...j,ij->...", labels, decided, weights) / counts.sum(axis=(-2, -1))
    seen = (counts * weights).sum(axis=(-2, -1))
    return np.where(expected > 0, 1 - seen / np.where(expected > 0, expected, 1), np.nan)


def mae(counts: Array, is_binary: bool) -> Array:
    """By how many classes the answer errs on average."""
    del is_binary
    numbers = np.arange(counts.shape[-1])
    distances = np.abs(numbers[:, None] - numbers)
    return np.asarray((counts * distances).sum(axis=(-2, -1)) / counts.sum(axis=(-2, -1)))


CONFUSION_METRICS: dict[str, Callable[[Array, bool], Array]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "f1_macro": f1_macro,
    "precision": precision,
    "recall": recall,
    "matthews": matthews,
    "quadratic_kappa": quadratic_kappa,
    "mae": mae,
}
