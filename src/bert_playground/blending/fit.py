"""fit_blend: a stack of members from their out-of-fold answers, judged on rows that none of it was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bert_playground.blending.calibration import Calibration, fit_calibration
from bert_playground.blending.combiner import Combiner, stack_answers
from bert_playground.blending.decision import Decision, fit_decision
from bert_playground.blending.fit_combiner import fit_combiner
from bert_playground.blending.objective import Objective, standard_error
from bert_playground.blending.stack import Stack
from bert_playground.lookup import shorten

Array = np.ndarray[Any, Any]


class Gain(NamedTuple):
    """A difference of two scores, paired over folds; positive is better whatever the metric's direction."""

    value: float
    error: float | None  # standard error; None: fewer than two folds


@dataclass(frozen=True)
class Member:
    """What one member is to the blend.

    Attributes:
        weight: in the final blend.
        score: its own, of all rows together, with the usual reading of probabilities.
        standard_error: of the mean over folds.
        adds: the blend with it minus the blend without it; None for the only member, or without folds.
        behind: the blend minus this member alone, which is calibrated and decided likewise; None without folds.
    """

    name: str
    weight: float
    score: float
    standard_error: float | None
    adds: Gain | None = None
    behind: Gain | None = None


@dataclass(frozen=True)
class Blend:
    """The outcome of `fit_blend`.

    Attributes:
        stack: fitted on all rows: what answers new ones.
        objective: what was asked for.
        nested: scores [R, ...] of which each fold's were blended, calibrated and decided by what the other folds say;
            decided where the metric decides and the decision was worth it. None: there is one fold.
        nested_scores: the same before the decision.
        score: of `nested`, all rows together; without folds that of the rows it was fitted on, which flatters.
        standard_error: of the mean over folds; None without folds.
        fold_scores: by fold number.
        members: in the given order.
    """

    stack: Stack
    objective: Objective
    nested: Array | None
    nested_scores: Array | None
    score: float
    standard_error: float | None
    fold_scores: dict[int, float]
    members: tuple[Member, ...]

    @property
    def combiner(self) -> Combiner:
        """Of the stack."""
        return self.stack.combiner

    @property
    def calibration(self) -> Calibration | None:
        """Of the stack."""
        return self.stack.calibration

    @property
    def decision(self) -> Decision | None:
        """Of the stack."""
        return self.stack.decision

    def sentences(self) -> list[str]:
        """What was found, in plain words."""
        return [self._headline(), *(self._tell(member) for member in self.members)]

    def _headline(self) -> str:
        name = self.objective.name
        if self.nested is None:
            return (
                f"{name} of the blend is {self.score:.4f} on the rows that it was fitted on, which flatters; "
                "at least two folds are needed to judge it"
            )
        parts = [f"{name} of the blend is {self.score:.4f} ± {self.standard_error or 0:.4f}"]
        if self.decision is not None:
            parts.append(f"decided by {self.decision.describe()}")
        if self.calibration is not None:
            parts.append(f"calibrated with temperature {self.calibration.temperature:.3g}")
        return ", ".join(parts)

    def _tell(self, member: Member) -> str:
        name, metric = member.name, self.objective.name
        if member.adds is None:
            return f"{name} counts {member.weight:.2f}"
        size, error = abs(member.adds.value), member.adds.error or 0.0
        if member.weight == 0 and member.adds.value == 0:
            text = f"{name} is not used"
        elif member.adds.value > 2 * error:
            verb = "adds {} to" if self.objective.higher_is_better else "takes {} off"
            text = f"{name} {verb.format(f'{size:.4f} ± {error:.4f}')} {metric}"
        elif member.adds.value < -2 * error:
            text = f"{name} makes {metric} worse by {size:.4f} ± {error:.4f}"
        else:
            text = f"{name} is not shown to add anything ({member.adds.value:.4f} ± {error:.4f})"
        if member.behind is not None and member.behind.value <= 2 * (member.behind.error or 0.0):
            text += (
                "; alone it is not shown to be worse than the blend"
                if len(self.members) > 1
                else ""
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain numbers, for a summary; `stack.to_dict()` is what answers again."""
        return {
            "metric": self.objective.name,
            "score": self.score,
            "standard_error": self.standard_error,
            "is_out_of_fold": self.nested is not None,
            "fold_scores": {str(fold): score for fold, score in self.fold_scores.items()},
            "members": [
                {
                    "name": member.name,
                    "weight": member.weight,
                    "score": member.score,
                    "standard_error": member.standard_error,
                    "adds": None if member.adds is None else list(member.adds),
                    "behind": None if member.behind is None else list(member.behind),
                }
                for member in self.members
            ],
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "decision": None if self.decision is None else self.decision.to_dict(),
            "sentences": self.sentences(),
        }


def fit_blend(
    answers: Mapping[str, Array],
    labels: Array,
    folds: Array,
    objective: Objective,
    method: str = "greedy",
    *,
    by: str | None = None,
) -> Blend:
    """Fit on all rows, and judge by fitting on all folds but one at a time.

    Args:
        answers: out-of-fold scores by member, in the form of `head.predict`; rows without any are left out by the caller.
        labels: [R] or [R, L], in the form that the metric takes.
        folds: [R], whole numbers: which rows' answers came from one model. A single one: nothing is judged.
        objective: what is to become better.
        method: "greedy", "mean", "rank_mean" or "logistic".
        by: what the greedy selection goes by, "loss" or "metric"; None: what suits the metric.

    Raises:
        ValueError: answers that are no finite numbers or not of these rows, or a method that does not suit the task.
    """
    _require_answers(answers, labels, folds)
    problem = _Problem(tuple(answers), stack_answers(list(answers.values())), labels, folds)
    fitter = _Fitter(objective, method, by)
    numbers = np.unique(folds)
    stack = fitter.fit(problem)
    if len(numbers) < 2:
        scores = stack.score(answers)
        score = _compute(objective, labels, stack.decide(scores))
        members = _describe_members(problem, objective, stack, {}, {})
        return Blend(stack, objective, None, None, score, None, {}, members)
    whole = fitter.nest(problem)
    without = {}
    if len(answers) > 1:
        without = {name: fitter.nest(problem.without(name)) for name in _that_count(stack, whole)}
    alone = {name: fitter.nest(problem.only(name)) for name in answers}
    pairs = (_gains(problem, objective, whole, others) for others in (without, alone))
    fold_values = _fold_values(problem, objective, whole.decided)
    sign = 1.0 if objective.higher_is_better else -1.0
    return Blend(
        stack,
        objective,
        whole.decided,
        whole.scores,
        _compute(objective, labels, whole.decided),
        standard_error(fold_values),
        dict(zip(numbers.tolist(), (sign * fold_values).tolist(), strict=True)),
        _describe_members(problem, objective, stack, *pairs),
    )


class _Problem(NamedTuple):
    names: tuple[str, ...]
    stacked: Array  # [M, R, ...]
    labels: Array
    folds: Array

    def only(self, name: str) -> "_Problem":
        place = self.names.index(name)
        return self._replace(names=(name,), stacked=self.stacked[[place]])

    def without(self, name: str) -> "_Problem":
        kept = [place for place, other in enumerate(self.names) if other != name]
        return self._replace(
            names=tuple(self.names[place] for place in kept), stacked=self.stacked[kept]
        )

    def rows(self, chosen: Array) -> "_Problem":
        return self._replace(
            stacked=self.stacked[:, chosen], labels=self.labels[chosen], folds=self.folds[chosen]
        )

    def answers(self) -> dict[str, Array]:
        return dict(zip(self.names, self.stacked, strict=True))


class _Nested(NamedTuple):
    scores: Array  # blended and calibrated
    decided: Array
    used: frozenset[str]  # members that counted in one fold at least


class _Fitter(NamedTuple):
    objective: Objective
    method: str
    by: str | None

    def fit(self, problem: _Problem) -> Stack:
        """Weights, then calibration, then decision, on the same rows."""
        combiner = fit_combiner(
            list(problem.stacked), problem.labels, self.objective, self.method, by=self.by
        )
        scores = combiner.combine(list(problem.stacked))
        calibration = fit_calibration(problem.labels, scores, self.objective)
        decision = fit_decision(problem.labels, scores, self.objective)
        return Stack(problem.names, combiner, calibration, decision)

    def nest(self, problem: _Problem) -> _Nested:
        """Each fold's rows by what is fitted on the others."""
        scores = np.empty(problem.stacked.shape[1:])
        decided = np.empty_like(scores)
        used: set[str] = set()
        for fold in np.unique(problem.folds):
            inside = problem.folds == fold
            stack = self.fit(problem.rows(~inside))
            scores[inside] = stack.score(problem.rows(inside).answers())
            decided[inside] = stack.decide(scores[inside])
            used.update(stack.used)
        return _Nested(scores, decided, frozenset(used))


def _that_count(stack: Stack, whole: _Nested) -> list[str]:
    """Members that were ever chosen: without the others the blend is the same."""
    return [name for name in stack.names if name in whole.used or name in stack.used]


def _compute(objective: Objective, labels: Array, scores: Array) -> float:
    try:
        return float(objective.compute(labels, scores))
    except ValueError:
        return float("nan")


def _fold_values(problem: _Problem, objective: Objective, scores: Array) -> Array:
    """The signed metric of each fold, [F]."""
    inside = (problem.folds == fold for fold in np.unique(problem.folds))
    return np.array([objective.judge(problem.labels[rows], scores[rows]) for rows in inside])


def _gains(
    problem: _Problem, objective: Objective, whole: _Nested, others: Mapping[str, _Nested]
) -> dict[str, Gain]:
    """What the whole blend gains over each other one, as the mean over folds of paired differences."""
    values = _fold_values(problem, objective, whole.decided)
    gains = {}
    for name, other in others.items():
        differences = values - _fold_values(problem, objective, other.decided)
        known = differences[np.isfinite(differences)]
        if len(known):
            gains[name] = Gain(float(known.mean()), standard_error(known))
    return gains


def _describe_members(
    problem: _Problem,
    objective: Objective,
    stack: Stack,
    adds: Mapping[str, Gain],
    behind: Mapping[str, Gain],
) -> tuple[Member, ...]:
    is_nested, is_single = len(np.unique(problem.folds)) > 1, len(stack.names) == 1
    unused = Gain(0.0, 0.0) if is_nested and not is_single else None
    return tuple(
        Member(
            name,
            weight,
            _compute(objective, problem.labels, scores),
            standard_error(_fold_values(problem, objective, scores)) if is_nested else None,
            adds.get(name, unused),
            behind.get(name),
        )
        for name, weight, scores in zip(
            stack.names, stack.combiner.weights, problem.stacked, strict=True
        )
    )


def _require_answers(answers: Mapping[str, Array], labels: Array, folds: Array) -> None:
    """Check what comes from outside.

    Raises:
        ValueError: every fault is listed.
    """
    faults = [] if answers else ["no member answers"]
    for name, scores in answers.items():
        if len(scores) != len(labels):
            faults.append(f"{name} answers {len(scores)} rows, the labels are {len(labels)}")
        elif not np.isfinite(np.asarray(scores, dtype=np.float64)).all():
            rows = np.flatnonzero(
                ~np.isfinite(np.asarray(scores, dtype=np.float64)).reshape(len(scores), -1).all(1)
            )
            faults.append(
                f"{name} has no finite number in {len(rows)} rows, such as {shorten(map(str, rows), 3)}"
            )
    if len(folds) != len(labels):
        faults.append(f"folds are of {len(folds)} rows, the labels of {len(labels)}")
    if faults:
        raise ValueError(f"these answers cannot be blended: {'; '.join(faults)}")
