"""Metric: a function of labels and scores, and which direction is good."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Metric:
    """One entry of METRICS.

    Attributes:
        compute: (labels [N] or [N, L], scores) -> float. Scores are P(class 1) [N], probabilities [N, L], or predicted
            numbers [N] or [N, S]; a ValueError means "not defined on these rows", such as ROC-AUC of a single class.
        higher_is_better: the direction.
        tasks: the names of the tasks it can judge.
        decides: whether it looks at the decided classes or labels, so that learned thresholds and cut points matter to it.
    """

    compute: Callable[[Array, Array], float]
    higher_is_better: bool
    tasks: tuple[str, ...]
    decides: bool = False
