"""Combiner: several members' answers for the same rows → one answer, by weights or by a fitted formula."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bert_playground.blending.numbers import list_of, log_odds, read_numbers, sigmoid
from bert_playground.lookup import look_up
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]
Numbers = tuple[tuple[float, ...], ...]
METHODS = {
    "greedy": "weights by selection with replacement on the out-of-fold answers",
    "mean": "the plain mean",
    "rank_mean": "the mean of ranks among the out-of-fold answers, for members whose probabilities do not compare",
    "logistic": "a logistic regression on the members' log odds",
}
SMALLEST = 1e-6  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class Combiner:
    """What was fitted of a blend of M members.

    Attributes:
        method: a name in METHODS.
        task: a name in TASKS.
        weights: [M], they sum to 1; of "logistic" each member's share of the coefficients' size, for people.
        knots: of "rank_mean", for each member, and for each of its columns C, its out-of-fold scores in order, thinned
            out to 2,001: M * C rows.
        coefficients: of "logistic", one row for each class or label (one for two classes); of "rank_mean" one slope for
            each column of answers, which makes a probability of a mean rank.
        intercepts: beside them.
    """

    method: str
    task: str
    weights: tuple[float, ...]
    knots: Numbers = ()
    coefficients: Numbers = ()
    intercepts: tuple[float, ...] = ()

    def combine(self, answers: Sequence[Array]) -> Array:
        """One answer for each row, in the form of its members', in f64.

        Args:
            answers: the members' scores in the order in which they were fitted, each [R] or [R, C].

        Raises:
            ValueError: there are more or fewer members than were fitted, or their shapes differ.
        """
        stacked = stack_answers(answers)
        if len(stacked) != len(self.weights):
            raise ValueError(
                f"{len(stacked)} members answered, but the blend was fitted on {len(self.weights)}; "
                "give the same members in the same order"
            )
        if self.method == "rank_mean":
            return self._from_ranks(self.rank(stacked))
        if self.method == "logistic":
            return self._from_features(make_features(stacked, self.task))
        return np.asarray(np.tensordot(np.array(self.weights), stacked, axes=1))

    def rank(self, stacked: Array) -> Array:
        """The mean over members of each answer's rank among the out-of-fold ones, between 0 and 1: [R] or [R, C]."""
        columns = stacked.reshape(*stacked.shape[:2], -1)
        ranks = np.zeros(columns.shape[1:])
        width = columns.shape[2]
        for member, weight in enumerate(self.weights):
            for column in range(width):
                knots = np.array(self.knots[member * width + column])
                values = columns[member, :, column]
                below, up_to = (knots.searchsorted(values, side) for side in ("left", "right"))
                ranks[:, column] += weight * (below + up_to) / (2 * len(knots))
        return ranks.reshape(stacked.shape[1:])

    def _from_ranks(self, ranks: Array) -> Array:
        """Platt's curve on the log odds of the mean rank: a probability in the same order."""
        columns = ranks.reshape(len(ranks), -1)
        slopes = np.array(self.coefficients)[:, 0]
        answers = sigmoid(rank_features(columns) * slopes + np.array(self.intercepts))
        if self.task in ("multiclass", "ordinal"):
            answers = answers / answers.sum(axis=1, keepdims=True)
        return np.asarray(answers.reshape(ranks.shape))

    def _from_features(self, features: Array) -> Array:
        coefficients, intercepts = np.array(self.coefficients), np.array(self.intercepts)
        if self.task == "multilabel":
            return sigmoid(np.einsum("rlm,lm->rl", features, coefficients) + intercepts)
        logits = features @ coefficients.T + intercepts
        if self.task == "binary":
            return sigmoid(logits[:, 0])
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads to the same bits."""
        state: dict[str, Any] = {
            "method": self.method,
            "task": self.task,
            "weights": list(self.weights),
        }
        for name in ("knots", "coefficients"):
            if rows := getattr(self, name):
                state[name] = [list(row) for row in rows]
        return state | ({"intercepts": list(self.intercepts)} if self.intercepts else {})

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            ValueError: it was changed: an unknown method or task, numbers that are none, or too few of them.
        """
        method, task = str(state.get("method")), str(state.get("task"))
        look_up(METHODS, method, "method of a blend")
        look_up(TASKS, task, "task")
        weights = read_numbers(state, "weights")
        tables = {
            name: tuple(
                read_numbers({name: row}, name) for row in list_of(state.get(name, []), name)
            )
            for name in ("knots", "coefficients")
        }
        intercepts = read_numbers(state, "intercepts") if state.get("intercepts") else ()
        found = cls(method, task, weights, tables["knots"], tables["coefficients"], intercepts)
        found.require_whole()
        return found

    def require_whole(self) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: they do not.
        """
        num_members, faults = len(self.weights), []
        if num_members == 0 or min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6:
            faults.append("the weights are not positive numbers that sum to 1")
        needs = self.method in ("rank_mean", "logistic")
        if needs and (not self.coefficients or len(self.coefficients) != len(self.intercepts)):
            faults.append("its coefficients and intercepts do not go together")
        if len({len(row) for row in self.coefficients}) > 1:
            faults.append("its rows of coefficients differ in length")
        if self.method == "rank_mean" and (
            len(self.knots) != num_members * len(self.coefficients) or not all(self.knots)
        ):
            faults.append("it does not have the ranks of all members")
        if faults:
            raise ValueError(
                f"a blend by {self.method} cannot be used: {'; '.join(faults)}; the file was changed: copy it again"
            )


def stack_answers(answers: Sequence[Array]) -> Array:
    """[M, R, ...] in f64.

    Raises:
        ValueError: no members, or shapes that differ.
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in answers]
    shapes = sorted({each.shape for each in arrays})
    if len(shapes) != 1:
        listed = ", ".join(str(list(shape)) for shape in shapes) or "none"
        raise ValueError(
            f"members' answers have the shapes {listed}, expected one shape for all: each answers the same rows"
        )
    return np.stack(arrays)


def make_features(stacked: Array, task: str) -> Array:
    """What the logistic regression reads: log odds [R, M], of labels [R, L, M], or log probabilities of classes [R, M * K]."""
    if task in ("binary", "multilabel"):
        held = np.clip(stacked, SMALLEST, 1 - SMALLEST)
        return np.moveaxis(log_odds(held), 0, -1)
    logs = np.log(np.clip(stacked, SMALLEST, 1.0))
    return np.asarray(np.moveaxis(logs, 0, 1).reshape(stacked.shape[1], -1))


def rank_features(ranks: Array) -> Array:
    """Log odds of ranks, which are held away from 0 and 1."""
    return log_odds(np.clip(ranks, 1e-4, 1 - 1e-4))
