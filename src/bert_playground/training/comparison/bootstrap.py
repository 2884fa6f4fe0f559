"""bootstrap_error: the standard error of a metric over rows drawn again and again; bootstrap_gain: of a paired difference."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Judge = Callable[[Array, Array], float]
DRAWS = 200


def bootstrap_error(
    judge: Judge, labels: Array, scores: Array, *, draws: int = DRAWS, seed: int = 0
) -> float | None:
    """Standard error of a metric.

    Args:
        judge: (labels, scores) -> float; NaN: not defined on these rows.
        labels: [R, …].
        scores: [R, …].
        draws: how often rows are drawn with replacement.
        seed: draws them.

    Returns:
        The deviation over the draws; None: the metric was defined on fewer than two of them.
    """
    rows = _draw(len(labels), draws, seed)
    values = np.array([judge(labels[each], scores[each]) for each in rows])
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else None


def bootstrap_gain(
    judge: Judge,
    labels: Array,
    ours: Sequence[Array],
    theirs: Sequence[Array],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """How much better one configuration answers than another, with the standard error over rows and seeds together.

    Args:
        judge: more is better.
        labels: [R, …].
        ours: for each seed the scores [R, …].
        theirs: likewise, of the same seeds.
        draws: how often rows and seeds are drawn with replacement.
        seed: draws them.

    Returns:
        Mean gain over the seeds, and its standard error.
    """
    pairs = list(zip(ours, theirs, strict=True))
    gain = np.mean([judge(labels, our) - judge(labels, their) for our, their in pairs])
    random = np.random.default_rng(seed)
    values = []
    for rows in _draw(len(labels), draws, seed):
        drawn = random.integers(len(pairs), size=len(pairs))
        values.append(
            np.mean(
                [
                    judge(labels[rows], pairs[k][0][rows]) - judge(labels[rows], pairs[k][1][rows])
                    for k in drawn
                ]
            )
        )
    return float(gain), float(np.nanstd(values, ddof=1))


def _draw(num_rows: int, draws: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    return random.integers(num_rows, size=(draws, num_rows))
