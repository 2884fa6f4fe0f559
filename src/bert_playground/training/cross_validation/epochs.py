"""choose_epochs: after which epoch an encoder answers: by the rows of other folds, so that no answer chose itself."""

from collections.abc import Sequence

import numpy as np


def choose_epochs(curves: Sequence[Sequence[float]], mode: str) -> tuple[list[int], int]:
    """The epoch at which each fold answers, and the one whose weights are kept.

    A fold's own rows have no say in its epoch: it is the best of the mean of the other folds' curves. The weights that
    are kept for other tables go by all folds.

    Args:
        curves: per fold the monitored value after each epoch; of unequal length where patience ended some earlier.
        mode: "min" or "max" of it is better.

    Returns:
        Per fold its epoch, and that of all, counted from 1.
    """
    length = min(map(len, curves))
    values = np.array([list(curve[:length]) for curve in curves], dtype=np.float64)  # [K, E]
    values = values if mode == "max" else -values
    total = values.sum(axis=0)
    everyone = int(total.argmax()) + 1
    if len(curves) == 1:
        return [everyone], everyone
    return [int((total - own).argmax()) + 1 for own in values], everyone
