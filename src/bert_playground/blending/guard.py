"""measure_gain: what a correction that is fitted on answers gains on rows that it was not fitted on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bert_playground.blending.objective import standard_error

Array = np.ndarray[Any, Any]
NUM_FOLDS = 5


def draw_folds(labels: Array, num_folds: int = NUM_FOLDS) -> Array:
    """Stratified folds, the same for the same labels: [R] of 0 to K - 1.

    Args:
        labels: classes [R]; or [R, L] or numbers, which are not stratified.
        num_folds: K.
    """
    chance = np.random.default_rng(0).permutation(len(labels))
    is_classes = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    order = np.lexsort((chance, labels)) if is_classes else np.argsort(chance)
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % num_folds
    return folds


def measure_gain(
    labels: Array,
    scores: Array,
    fit: Callable[[Array, Array], Callable[[Array], Array]],
    judge: Callable[[Array, Array], float],
) -> tuple[float, float]:
    """The mean over five folds of what the correction gains, and its standard error.

    Args:
        labels: [R, ...].
        scores: [R, ...], before the correction.
        fit: (labels, scores) of the other folds -> the correction.
        judge: (labels, scores) -> more is better, NaN where it is not defined.

    Returns:
        -inf and 0 where fewer than two folds can be judged.
    """
    folds, gains = draw_folds(labels), []
    for fold in range(NUM_FOLDS):
        inside = folds == fold
        if not inside.any() or inside.all():
            continue
        correct = fit(labels[~inside], scores[~inside])
        before = judge(labels[inside], scores[inside])
        gains.append(judge(labels[inside], correct(scores[inside])) - before)
    found = np.array([gain for gain in gains if np.isfinite(gain)])
    error = standard_error(found)
    return (-np.inf, 0.0) if error is None else (float(found.mean()), error)


def wins(gain: tuple[float, float]) -> bool:
    """Whether a gain is larger than twice its standard error.

    Once is too little: on eight held-out parts of Titanic, thresholds for accuracy that had gained more than that cost 0.004.
    """
    return gain[0] > max(2 * gain[1], 1e-9)
