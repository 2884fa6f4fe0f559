"""Answers: what models said of rows whose truth is known; each row's loss, and the answers in words."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bert_playground.data.targets.label_encoder import choose_median
from bert_playground.tasks import TASKS
from bert_playground.training.metrics.classification import predicted_classes
from bert_playground.training.metrics.scorer import METRICS, make_scorer

Array = np.ndarray[Any, Any]
SMALLEST = 1e-15
SINGLE_CLASS = ("binary", "multiclass", "ordinal")


@dataclass(frozen=True)
class Answers:
    """What models answered to R rows that they were not trained on.

    Attributes:
        task: a name in TASKS.
        target: the column.
        names: of classes, labels or steps; () where a row has one number.
        labels: [R] or [R, L], as the model sees them.
        scores: what `head.predict` gives for them.
        in_units: from standardised numbers to the units of the target; None: answers are classes.
        thresholds: of several labels; None: 0.5.
        decide: how scores are read as classes where that was fitted; None: as usual.
    """

    task: str
    target: str
    names: tuple[str, ...]
    labels: Array
    scores: Array
    in_units: Callable[[Array], Array] | None = None
    thresholds: tuple[float, ...] | None = None
    decide: Callable[[Array], Array] | None = None

    @property
    def num_rows(self) -> int:
        """R."""
        return len(self.labels)

    @property
    def has_single_class(self) -> bool:
        """Whether each row has one class."""
        return self.task in SINGLE_CLASS

    @cached_property
    def classes(self) -> Array:
        """[R] the class that is answered, where a row has one."""
        scores = self.scores if self.decide is None else self.decide(self.scores)
        return choose_median(scores) if self.task == "ordinal" else predicted_classes(scores)

    @cached_property
    def numbers(self) -> tuple[Array, Array]:
        """[R] or [R, S] true and answered numbers in the units of the target."""
        assert self.in_units is not None
        return self.in_units(self.labels), self.in_units(self.scores)

    @cached_property
    def losses(self) -> Array:
        """[R]; see `row_losses`."""
        return row_losses(self.task, self.labels, self.scores)

    @property
    def loss_name(self) -> str:
        """What `losses` are."""
        return "log loss" if TASKS[self.task].is_classification else "squared error"

    def measure(self) -> dict[str, float]:
        """The usual metrics of the task, named as in summaries."""
        scorer = make_scorer(self.task, decode=self.in_units, thresholds=self.thresholds)
        found = scorer(self.labels, self.scores)
        if self.decide is not None:
            decided = scorer(self.labels, self.decide(self.scores))
            found = {
                name: decided[name] if METRICS[name].decides else value
                for name, value in found.items()
            }
        return {f"val_{name}": value for name, value in found.items()}

    def say_truth(self, row: int) -> str:
        """What is true of a row, in words."""
        if self.in_units is not None:
            return _spell_numbers(self.numbers[0][row])
        if self.has_single_class:
            return self.names[int(self.labels[row])]
        return self._say_labels(self.labels[row] > 0)

    def say_answer(self, row: int) -> str:
        """What was answered to a row, in words, with the probabilities that matter."""
        if self.in_units is not None:
            return _spell_numbers(self.numbers[1][row])
        if self.has_single_class:
            answered, true = int(self.classes[row]), int(self.labels[row])
            said = f"{self.names[answered]} ({self.probability(row, answered):.1%})"
            if answered == true:
                return said
            return f"{said}; {self.names[true]} had {self.probability(row, true):.1%}"
        return self._say_labels(self.scores[row] >= np.array(self.thresholds or 0.5))

    def probability(self, row: int, number: int) -> float:
        """Of one class."""
        scores = self.scores[row]
        if np.ndim(scores) == 0:
            return float(scores if number else 1 - scores)
        return float(scores[number])

    def _say_labels(self, is_there: Array) -> str:
        return ", ".join(np.array(self.names)[np.asarray(is_there, dtype=bool)]) or "none"


def row_losses(task: str, labels: Array, scores: Array) -> Array:
    """[R] the log loss of each row's classes, of several labels their mean; or the squared error of standardised numbers.

    Args:
        task: a name in TASKS.
        labels: [R] or [R, L].
        scores: what `head.predict` gives.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not TASKS[task].is_classification:
        answers = scores[:, 0] if task == "regression" and scores.ndim == 2 else scores
        return np.asarray(np.square(answers - labels).reshape(len(labels), -1).mean(axis=1))
    if task in ("binary", "multilabel"):
        right = np.where(labels > 0, scores, 1 - scores).reshape(len(labels), -1)
    else:
        right = np.take_along_axis(scores, labels.astype(np.int64)[:, None], axis=1)
    return np.asarray(-np.log(np.clip(right, SMALLEST, 1.0)).mean(axis=1))


def _spell_numbers(values: Any) -> str:
    shown = [f"{value:,.6g}" for value in np.atleast_1d(values)[:6]]
    more = ", \N{HORIZONTAL ELLIPSIS}" if np.size(values) > 6 else ""
    return ", ".join(shown) + more
