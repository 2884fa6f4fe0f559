"""accuracy_score, f1_score, roc_auc_score and others: scikit-learn's answers, bit for bit, without importing it.

Its import takes seconds, and its checks of the arrays take longer than the sums: together more than a small run's
training. What they are called and answer is as there; tests/training/unit/metrics compares them.
"""

import numpy as np

from bert_playground.training.metrics.metric import Array


def accuracy_score(labels: Array, chosen: Array) -> float:
    """The part of the rows whose class is right."""
    return float(np.mean(labels == chosen))


def f1_score(labels: Array, chosen: Array, *, average: str) -> float:
    """F1 of class 1 where `average` is "binary", else the mean over the classes there are; 0 where it is 0 / 0."""
    classes = np.array([1]) if average == "binary" else np.union1d(labels, chosen)
    is_true, is_chosen = labels[:, None] == classes, chosen[:, None] == classes
    hits = (is_true & is_chosen).sum(axis=0)
    found = is_true.sum(axis=0) + is_chosen.sum(axis=0)
    each = np.divide(2.0 * hits, found, out=np.zeros(len(classes)), where=found > 0)
    return float(np.mean(each))


def roc_auc_score(labels: Array, scores: Array) -> float:
    """Area under the ROC curve of class 1, or True, by the trapezoidal rule.

    Raises:
        ValueError: scores that are no numbers.
    """
    _require_finite(scores)
    order = np.argsort(-scores, kind="stable")
    sorted_scores, is_one = scores[order], (labels[order] == 1).astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)  # of equal scores
    hits = np.cumsum(is_one)[ends]
    misses = 1 + ends.astype(np.float64) - hits
    if len(ends) > 2:  # points on a straight line change no area, but they would its last bits
        is_corner = np.append((np.diff(misses, 2) != 0) | (np.diff(hits, 2) != 0), True)
        is_corner = np.insert(is_corner, 0, True)
        hits, misses = hits[is_corner], misses[is_corner]
    hits, misses = np.insert(hits, 0, 0.0), np.insert(misses, 0, 0.0)
    height, width = hits / hits[-1], np.diff(misses / misses[-1])
    return float((width * (height[1:] + height[:-1]) / 2.0).sum())


def mean_squared_error(labels: Array, scores: Array) -> float:
    """The mean of the squared errors, of several outputs the mean of theirs; finite scores only."""
    return float(np.mean(((_columns(labels) - _columns(scores)) ** 2).mean(axis=0)))


def mean_absolute_error(labels: Array, scores: Array) -> float:
    """The mean of the absolute errors, of several outputs the mean of theirs; finite scores only."""
    return float(np.mean(np.abs(_columns(scores) - _columns(labels)).mean(axis=0)))


def r2_score(labels: Array, scores: Array) -> float:
    """The part of the variance that is explained, of several outputs the mean of theirs; finite scores only.

    An output that does not vary has 1 where all is right, else 0.
    """
    dtype = np.result_type(labels, scores)
    truth, answers = _columns(labels).astype(dtype), _columns(scores).astype(dtype)
    left = ((truth - answers) ** 2).sum(axis=0)
    whole = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    each = (left == 0).astype(left.dtype)
    each[whole != 0] = 1 - left[whole != 0] / whole[whole != 0]
    return float(np.mean(each))


def _columns(numbers: Array) -> Array:
    _require_finite(numbers)
    return numbers.reshape(-1, 1) if numbers.ndim == 1 else numbers


def _require_finite(numbers: Array) -> None:
    if not np.isfinite(numbers).all():
        raise ValueError("some scores are NaN or infinite")
