"""Calibration: one temperature that makes blended probabilities as bold as they deserve."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bert_playground.blending.guard import measure_gain, wins
from bert_playground.blending.numbers import SMALLEST_PROBABILITY, log_odds, read_numbers, sigmoid
from bert_playground.blending.objective import Objective, log_loss
from bert_playground.lookup import look_up
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]
MOST = 20.0  # a temperature beyond 20, or below 1/20, says that the answers say nothing


@dataclass(frozen=True)
class Calibration:
    """Probabilities p become softmax(log p / T); a mean of several models is too cautious as a rule, so that T < 1.

    Attributes:
        temperature: T.
        task: tells classes from labels.

    Reference: Guo et al. 2017, arXiv 1706.04599; Rahaman and Thiery 2021, arXiv 2007.08792 (of ensembles).
    """

    temperature: float
    task: str

    def apply(self, scores: Array) -> Array:
        """Probabilities of the same shape."""
        scores = np.asarray(scores, dtype=np.float64)
        if not _has_classes_in_columns(self.task):
            return sigmoid(log_odds(scores) / self.temperature)
        logits = np.log(np.clip(scores, SMALLEST_PROBABILITY, 1.0)) / self.temperature
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return {"temperature": self.temperature, "task": self.task}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            ValueError: it was changed.
        """
        task = str(state.get("task"))
        look_up(TASKS, task, "task")
        (temperature,) = read_numbers({"temperature": [state.get("temperature")]}, "temperature")
        if temperature <= 0:
            raise ValueError(
                f"the temperature of a blend is {temperature}, expected a number above 0; "
                "the file was changed: copy it again"
            )
        return cls(temperature, task)


def fit_calibration(labels: Array, scores: Array, objective: Objective) -> Calibration | None:
    """The temperature with the least log loss; None unless it lowers that of other rows by more than twice the standard error.

    None too for numbers, and for a metric that looks at decided classes, which has a `Decision`.
    """
    task = objective.task
    if objective.decides or not TASKS[task].is_classification:
        return None

    def fit(labels: Array, scores: Array) -> Calibration:
        return Calibration(1 / _fit_sharpness(labels, scores, task), task)

    gain = measure_gain(
        labels, scores, lambda *rows: fit(*rows).apply, lambda *rows: -log_loss(*rows)
    )
    if not wins(gain):
        return None
    found = fit(labels, scores)
    before = objective.judge(labels, scores)
    is_harmless = objective.judge(labels, found.apply(scores)) >= before - 1e-9
    return found if is_harmless else None


def _fit_sharpness(labels: Array, scores: Array, task: str) -> float:
    """1 / T by Newton's method: the log loss is convex in it."""
    scores = np.asarray(scores, dtype=np.float64)
    in_columns = _has_classes_in_columns(task)
    logits = np.log(np.clip(scores, SMALLEST_PROBABILITY, 1.0)) if in_columns else log_odds(scores)
    sharpness = 1.0
    for _ in range(20):
        if in_columns:
            powers = np.exp(sharpness * (logits - logits.max(axis=1, keepdims=True)))
            said = powers / powers.sum(axis=1, keepdims=True)
            mean = (said * logits).sum(axis=1)
            right = logits[np.arange(len(labels)), labels.astype(np.int64)]
            slope = float((mean - right).mean())
            curvature = float((said * np.square(logits - mean[:, None])).sum(axis=1).mean())
        else:
            said = sigmoid(sharpness * logits)
            slope = float(((said - labels) * logits).mean())
            curvature = float((said * (1 - said) * np.square(logits)).mean())
        step = slope / max(curvature, 1e-9)
        # A full step may leap over the valley where the curve is flat.
        sharpness = float(np.clip(sharpness - step, sharpness / 2, sharpness * 2))
        sharpness = min(max(sharpness, 1 / MOST), MOST)
        if abs(step) < 1e-8:
            break
    return sharpness


def _has_classes_in_columns(task: str) -> bool:
    return task in ("multiclass", "ordinal")
