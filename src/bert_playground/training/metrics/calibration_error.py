"""Whether probabilities mean what they say: expected calibration error, and the bins behind it."""

from typing import NamedTuple

import numpy as np

from bert_playground.training.metrics.classification import predicted_classes
from bert_playground.training.metrics.metric import Array, Metric

NUM_BINS = 15


class Bins(NamedTuple):
    """Rows in equal-width bins of confidence; bins without rows are left out, K are left."""

    confidence: Array  # [K] mean of each bin
    accuracy: Array  # [K] part of its rows that is right
    share: Array  # [K] of all rows


def bin_confidence(labels: Array, scores: Array, num_bins: int = NUM_BINS) -> Bins:
    """Sort rows by the probability of the class that is answered into (0, 1/15], (1/15, 2/15] and so on.

    Args:
        labels: [N].
        scores: P(class 1) [N], or probabilities [N, L].
        num_bins: of equal width over 0 to 1.
    """
    scores = scores.astype(np.float64)
    confidence = np.maximum(scores, 1 - scores) if scores.ndim == 1 else scores.max(axis=1)
    is_right = predicted_classes(scores) == labels
    numbers = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    counts = np.bincount(numbers, minlength=num_bins)
    used = counts > 0
    return Bins(
        np.bincount(numbers, confidence, num_bins)[used] / counts[used],
        np.bincount(numbers, is_right, num_bins)[used] / counts[used],
        counts[used] / len(labels),
    )


def calibration_error(labels: Array, scores: Array) -> float:
    """ECE: the mean over rows of |confidence - accuracy| of their bin, 15 bins of equal width.

    Reference: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    bins = bin_confidence(labels, scores)
    return float((bins.share * np.abs(bins.confidence - bins.accuracy)).sum())


CALIBRATION = {
    "ece": Metric(calibration_error, higher_is_better=False, tasks=("binary", "multiclass")),
}
