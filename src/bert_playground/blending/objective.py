"""Objective: the metric that a blend is judged by, its direction, and the proper loss that breaks ties."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_playground.blending.confusion import CONFUSION_METRICS, MetricOfConfusion, count_confusion
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]
Score = Callable[[Array, Array], float]
SMALLEST = 1e-15


@dataclass(frozen=True)
class Objective:
    """What is to become better.

    Attributes:
        name: of the metric, for sentences.
        compute: (labels [R] or [R, L], scores in the form of `head.predict`) -> float; a ValueError means "not defined on
            these rows".
        higher_is_better: the direction.
        decides: whether it looks at the decided classes, so that thresholds and cut points matter to it.
        task: a name in TASKS.
        loss: a proper loss of the same arguments, lower is better: log loss, or the mean squared error.
    """

    name: str
    compute: Score
    higher_is_better: bool
    decides: bool
    task: str
    loss: Score

    def judge(self, labels: Array, scores: Array) -> float:
        """The metric with the sign that makes more better; NaN where it is not defined on these rows."""
        if self.of_confusion is not None:  # the same number a hundred times as fast as scikit-learn
            decided = decide_classes(scores, self.task)
            num_classes = 2 if scores.ndim == 1 else scores.shape[1]
            return float(self.of_confusion(count_confusion(labels, decided, num_classes)))
        try:
            value = float(self.compute(labels, scores))
        except ValueError:
            return float("nan")
        return value if self.higher_is_better else -value

    @property
    def of_confusion(self) -> MetricOfConfusion | None:
        """The same metric from confusion matrices, many at once, signed as `judge`; None: it needs more than those."""
        known = CONFUSION_METRICS.get(self.name)
        has_classes = TASKS[self.task].is_classification and not TASKS[self.task].has_many_targets
        if known is None or not self.decides or not has_classes:
            return None
        sign, is_binary = 1.0 if self.higher_is_better else -1.0, self.task == "binary"
        return lambda counts: sign * known(counts, is_binary)


def decide_classes(scores: Array, task: str) -> Array:
    """The class of each row as metrics read scores: from 0.5 on, the most probable, or of ordered ones the median."""
    scores = np.asarray(scores)
    if task == "binary":
        return np.asarray(scores >= 0.5).astype(np.int64)
    if task == "ordinal":
        cumulated = np.cumsum(scores, axis=-1, dtype=np.float64)
        return np.asarray((cumulated >= cumulated[..., -1:] / 2).argmax(axis=-1))
    return np.asarray(scores.argmax(axis=-1))


def proper_loss(task: str) -> Score:
    """The log loss of a classification, else the mean squared error: what is best when the answers are true."""
    return log_loss if TASKS[task].is_classification else squared_error


def log_loss(labels: Array, scores: Array) -> float:
    """The mean negative log-probability of what is there, in f64, with probabilities of 0 held at 1e-15."""
    return float(-np.log(np.clip(probability_of_labels(labels, scores), SMALLEST, 1.0)).mean())


def squared_error(labels: Array, scores: Array) -> float:
    """The mean over rows, and steps."""
    return float(np.square(np.asarray(scores, dtype=np.float64) - labels).mean())


def probability_of_labels(labels: Array, scores: Array) -> Array:
    """What was said of the label that is there: [R], or [R, L] for several labels.

    Args:
        labels: [R], or [R, L] of 0 and 1.
        scores: P(class 1) [R], probabilities of the classes [R, K], or of the labels [R, L].
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape == labels.shape:
        return np.where(labels == 1, scores, 1 - scores)
    return np.asarray(scores[np.arange(len(labels)), labels.astype(np.int64)] / scores.sum(axis=1))


def standard_error(values: Array) -> float | None:
    """Of the mean of values that are independent, as those of folds nearly are; None: fewer than two are defined."""
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
