"""Decision: what turns scores into classes where a metric looks at the decided class: thresholds, cut points, class weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bert_playground.blending.confusion import MetricOfConfusion, count_confusion
from bert_playground.blending.cut_points import cut, expected_class, fit_cut_points
from bert_playground.blending.guard import draw_folds, measure_gain, wins
from bert_playground.blending.numbers import read_numbers
from bert_playground.blending.objective import Objective
from bert_playground.blending.thresholds import fit_thresholds
from bert_playground.lookup import look_up

Array = np.ndarray[Any, Any]
HALF = 0.5
NUM_PARTS = 3
KINDS = {
    "threshold": "class 1 from this probability on",
    "thresholds": "each label from its own probability on",
    "multipliers": "the class with the largest product of probability and multiplier",
    "cut_points": "the class between whose cut points the expected class number lies",
}
POWERS = np.linspace(
    0, 1.2, 13
)  # of 1 / frequency: 0 leaves the most probable class, 1 weighs all alike


@dataclass(frozen=True)
class Decision:
    """How scores are read as classes.

    Attributes:
        kind: a name in KINDS.
        values: the threshold, one for each label, one multiplier for each class, or K - 1 rising cut points.
    """

    kind: str
    values: tuple[float, ...]

    def apply(self, scores: Array) -> Array:
        """The decided classes in the shape of the scores: 0 or 1, with one 1 in a row of classes.

        Metrics and `LabelEncoder.decode` read them as they read probabilities.

        Raises:
            ValueError: scores of another number of classes.
        """
        scores = np.asarray(scores)
        values = np.array(self.values)
        expected = {"threshold": 1, "cut_points": len(values) + 1}.get(self.kind, len(values))
        width = 1 if scores.ndim == 1 else scores.shape[1]
        if width != expected:
            raise ValueError(
                f"scores have shape {list(scores.shape)}, but the decision is about {expected} columns; "
                "give the answers of the task that it was fitted on"
            )
        if self.kind in ("threshold", "thresholds"):
            limits = values[0] if self.kind == "threshold" else values
            return np.asarray(scores >= limits).astype(np.float64)
        if self.kind == "multipliers":
            return _one_hot((scores * values).argmax(axis=1), width)
        return _one_hot(cut(expected_class(scores), values), width)

    def describe(self) -> str:
        """One phrase with the numbers."""
        return f"{KINDS[self.kind]}: {', '.join(f'{value:.3g}' for value in self.values)}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads to the same bits."""
        return {"kind": self.kind, "values": list(self.values)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            ValueError: it was changed.
        """
        kind = str(state.get("kind"))
        look_up(KINDS, kind, "kind of decision")
        values = read_numbers(state, "values")
        is_rising = kind != "cut_points" or bool((np.diff(values) >= 0).all())
        if not values or not is_rising:
            raise ValueError(
                f"the {kind} of a blend are {list(values)}, expected "
                f"{'rising numbers' if values else 'at least one'}; the file was changed: copy it again"
            )
        return cls(kind, values)


def fit_decision(labels: Array, scores: Array, objective: Objective) -> Decision | None:
    """The decision that is best for the metric on these out-of-fold rows, where that is more than luck.

    Binary: a threshold, the mean of the best ones of three overlapping parts. Several labels: a threshold for each by F1, or
    one for all. Classes: 1 / frequency to a power. Ordered classes, and quadratic kappa: cut points on the expected class
    number. Each is taken only if on five parts that it was not fitted on it gains more than twice the gain's standard error; on
    few rows an untouched 0.5 is nearly always better than the best of many thresholds.

    Args:
        labels: [R] or [R, L].
        scores: [R], [R, K] or [R, L].
        objective: None comes back unless it `decides`.
    """
    if not objective.decides:
        return None
    best, best_gain = None, 0.0
    for fit in _candidates(labels, objective, scores):
        gain = measure_gain(labels, scores, _applied(fit), objective.judge)
        if wins(gain) and gain[0] > best_gain:
            best, best_gain = fit, gain[0]
    return None if best is None else best(labels, scores)


Fit = Callable[[Array, Array], Decision]


def _applied(fit: Fit) -> Callable[[Array, Array], Callable[[Array], Array]]:
    return lambda labels, scores: fit(labels, scores).apply


def _candidates(labels: Array, objective: Objective, scores: Array) -> list[Fit]:
    if objective.task == "multilabel":
        return [
            lambda labels, scores: Decision("thresholds", fit_thresholds(labels, scores)),
            lambda labels, scores: _fit_common_threshold(labels, scores, objective),
        ]
    of_confusion = objective.of_confusion
    if of_confusion is None or len(np.unique(labels)) < 2:
        return []
    if objective.task == "binary":
        return [lambda labels, scores: _fit_threshold(labels, scores, of_confusion)]
    cuts: Fit = lambda labels, scores: Decision(  # noqa: E731
        "cut_points", fit_cut_points(labels, scores, of_confusion)
    )
    if objective.task == "ordinal":
        return [cuts]
    multipliers: Fit = lambda labels, scores: _fit_multipliers(labels, scores, of_confusion)  # noqa: E731
    return [cuts, multipliers] if objective.name == "quadratic_kappa" else [multipliers]


def _fit_threshold(labels: Array, scores: Array, of_confusion: MetricOfConfusion) -> Decision:
    folds = draw_folds(labels, NUM_PARTS)
    parts = [folds != fold for fold in range(NUM_PARTS)]
    found = [
        _best_threshold(labels[part], scores[part], of_confusion) for part in parts if part.any()
    ]
    return Decision("threshold", (float(np.mean(found)),))


def _best_threshold(labels: Array, scores: Array, of_confusion: MetricOfConfusion) -> float:
    """The threshold with the best metric on these rows; of equally good ones the nearest to 0.5."""
    order = np.argsort(-scores, kind="stable")
    falling = np.asarray(scores, dtype=np.float64)[order]
    # The last row of each distinct score: what a threshold just below it lets through.
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    hits = np.cumsum(labels[order] == 1)
    true_positive, num_positive = hits[last], hits[-1]
    false_positive = last + 1 - true_positive
    counts = np.empty((len(last), 2, 2), dtype=np.int64)
    counts[:, 1, 1], counts[:, 1, 0] = true_positive, num_positive - true_positive
    counts[:, 0, 1] = false_positive
    counts[:, 0, 0] = len(falling) - num_positive - false_positive
    values = np.nan_to_num(of_confusion(counts), nan=-np.inf)
    upper = falling[last]
    lower = np.append(falling[last[:-1] + 1], 0.0)
    middle = np.where((lower < HALF) & (upper >= HALF), HALF, (lower + upper) / 2)
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(middle[best[np.abs(middle[best] - HALF).argmin()]])


def _fit_common_threshold(labels: Array, scores: Array, objective: Objective) -> Decision:
    grid = np.linspace(0.05, 0.95, 19)
    values = [objective.judge(labels, (scores >= limit).astype(np.float64)) for limit in grid]
    best = np.flatnonzero(np.array(values) >= np.nanmax(values) - 1e-12)
    chosen = float(grid[best[np.abs(grid[best] - HALF).argmin()]])
    return Decision("thresholds", (chosen,) * labels.shape[1])


def _fit_multipliers(labels: Array, scores: Array, of_confusion: MetricOfConfusion) -> Decision:
    num_classes = scores.shape[1]
    frequencies = np.maximum(np.bincount(labels, minlength=num_classes), 1) / len(labels)
    weights = frequencies ** -POWERS[:, None]
    decided = np.stack([(scores * weight).argmax(axis=1) for weight in weights])
    values = np.nan_to_num(of_confusion(count_confusion(labels, decided, num_classes)), nan=-np.inf)
    weight = weights[int(values.argmax())]
    return Decision("multipliers", tuple((weight / weight.max()).tolist()))


def _one_hot(classes: Array, num_classes: int) -> Array:
    return np.asarray(classes[:, None] == np.arange(num_classes)).astype(np.float64)
