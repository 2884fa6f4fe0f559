"""select_greedily: weights of a blend by selection with replacement, Caruana et al. 2004."""

from typing import Any

import numpy as np

from bert_playground.blending.confusion import count_confusion
from bert_playground.blending.objective import (
    SMALLEST,
    Objective,
    decide_classes,
    probability_of_labels,
)
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]
NUM_STEPS = 50
PATIENCE = 10  # steps without a better blend
LEAST_GAIN = 1e-5  # of the criterion's size: what a larger blend has to be better by
MOST_ROWS = {"loss": 50_000, "metric": 10_000}


def select_greedily(
    answers: Array, labels: Array, objective: Objective, *, by: str = "loss"
) -> Array:
    """How much each member counts: [M], not negative, sum 1.

    The best single member comes first; then, up to 50 times, the member whose addition makes the mean best, be it there
    already or not. The best mean on the way is taken, the smallest of nearly equal ones.

    Args:
        answers: [M, R, ...], members' scores of the same rows.
        labels: [R, ...].
        objective: what is to become better.
        by: "loss": the proper loss chooses; "metric": the metric, and the loss among equals. Of more than 50,000 rows
            (10,000 by the metric, which may take milliseconds) a sample chooses that is always the same.
    """
    answers, labels = _sample(np.asarray(answers, dtype=np.float64), labels, MOST_ROWS[by])
    judge = _Loss(answers, labels, objective.task)
    metric = _Metric(answers, labels, objective) if by == "metric" else None
    counts = np.zeros(len(answers), dtype=np.int64)
    best_counts, best, waited = counts, -np.inf, 0
    for _ in range(NUM_STEPS):
        chosen, value = _choose(judge.of_additions(counts), metric, counts)
        counts = counts.copy()
        counts[chosen] += 1
        if not np.isfinite(best) or value > best + LEAST_GAIN * abs(best):
            best_counts, best, waited = counts, value, 0
        else:
            waited += 1
        if waited == PATIENCE or len(answers) == 1:
            break
    return np.asarray(best_counts / best_counts.sum())


def _choose(losses: Array, metric: "_Metric | None", counts: Array) -> tuple[int, float]:
    """The member to add and how good the mean is with it."""
    if metric is None:
        chosen = int(losses.argmin())
        return chosen, -float(losses[chosen])
    values = np.nan_to_num(metric.of_additions(counts), nan=-np.inf)
    equal = np.flatnonzero(values >= values.max() - 1e-12)
    chosen = int(equal[losses[equal].argmin()])
    return chosen, float(values[chosen])


class _Loss:
    """The proper loss of a mean of members, for each member that may be added to it."""

    def __init__(self, answers: Array, labels: Array, task: str) -> None:
        num_members = len(answers)
        self.errors = self.right = None
        if TASKS[task].is_classification:
            # A mean of probabilities says of the label that is there the mean of what its members say.
            right = [probability_of_labels(labels, each).ravel() for each in answers]
            self.right = np.stack(right)
        else:
            errors = (answers - labels).reshape(num_members, -1)
            self.errors = errors @ errors.T / errors.shape[1]

    def of_additions(self, counts: Array) -> Array:
        """[M]."""
        total = counts.sum() + 1
        if self.right is not None:
            means = (counts @ self.right + self.right) / total
            return np.asarray(-np.log(np.clip(means, SMALLEST, 1.0)).mean(axis=1))
        assert self.errors is not None
        of_mean = counts @ self.errors
        return np.asarray((counts @ of_mean + 2 * of_mean + np.diag(self.errors)) / total**2)


class _Metric:
    """The metric of a mean of members, for each member that may be added to it."""

    def __init__(self, answers: Array, labels: Array, objective: Objective) -> None:
        self.answers, self.labels, self.objective = answers, labels, objective

    def of_additions(self, counts: Array) -> Array:
        """[M], more is better."""
        total = counts.sum() + 1
        means = (np.tensordot(counts, self.answers, axes=1) + self.answers) / total
        of_confusion = self.objective.of_confusion
        if of_confusion is None:
            return np.array([self.objective.judge(self.labels, mean) for mean in means])
        decided = decide_classes(means, self.objective.task)
        num_classes = 2 if means.ndim == 2 else means.shape[-1]
        return of_confusion(count_confusion(self.labels, decided, num_classes))


def _sample(answers: Array, labels: Array, most: int) -> tuple[Array, Array]:
    if len(labels) <= most:
        return answers, labels
    rows = np.sort(np.random.default_rng(0).choice(len(labels), most, replace=False))
    return answers[:, rows], labels[rows]
