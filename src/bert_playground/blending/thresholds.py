"""fit_thresholds: from which probability on each label counts as there."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
HALF = 0.5


def fit_thresholds(labels: Array, probabilities: Array) -> tuple[float, ...]:
    """For each label the threshold with the greatest F1 on these rows; of equally good ones the nearest to 0.5.

    A label that no row has keeps 0.5.

    Args:
        labels: [N, L] of 0 and 1.
        probabilities: [N, L].

    Raises:
        ValueError: the shapes differ.
    """
    if labels.shape != probabilities.shape or labels.ndim != 2:
        raise ValueError(
            f"labels has shape {list(labels.shape)} and probabilities {list(probabilities.shape)}, "
            "expected the same [N, L]"
        )
    return tuple(
        _fit_one(labels[:, label] == 1, probabilities[:, label].astype(np.float64))
        for label in range(labels.shape[1])
    )


def _fit_one(is_there: Array, probabilities: Array) -> float:
    if not is_there.any():
        return HALF
    order = np.argsort(-probabilities, kind="stable")
    falling, hits = probabilities[order], np.cumsum(is_there[order])
    # The last row of each distinct probability: what a threshold just below it lets through.
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    scores = 2 * hits[last] / (last + 1 + is_there.sum())
    upper = falling[last]
    lower = np.append(falling[last[:-1] + 1], 0.0)
    # Any value in (lower, upper] decides alike: 0.5 where it lies there, else the middle.
    middle = np.where((lower < HALF) & (upper >= HALF), HALF, (lower + upper) / 2)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(middle[best[np.abs(middle[best] - HALF).argmin()]])
