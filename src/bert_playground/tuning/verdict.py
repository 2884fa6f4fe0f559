"""reach_verdict: the best configuration against the defaults, on rows that no trial has seen and with fresh seeds."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from bert_playground.config.schema import RunConfig
from bert_playground.data.targets.fit import Encoder, encode_targets, find_units, fit_targets
from bert_playground.inference import Predictor
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.training.comparison.bootstrap import bootstrap_gain
from bert_playground.training.comparison.paired import ERRORS
from bert_playground.training.cross_validation.fold_fit import answer_fold
from bert_playground.training.metrics.scorer import make_scorer
from bert_playground.training.objectives import make_objective
from bert_playground.tuning.clock import Clock
from bert_playground.tuning.trial import TrialRunner
from bert_playground.tuning.weights import drop_weights

VERDICT_SEED = 10_000  # beyond those of trials
LEAST_PAIRS = 2
MOST_PAIRS = 15  # where time is left over
Array = np.ndarray[Any, Any]
Configured = tuple[RunConfig, Mapping[str, str]]


@dataclass(frozen=True)
class Verdict:
    """What fresh seeds said on the rows put aside.

    Attributes:
        metric: that trials were compared by.
        gain: by how much the tuned configuration is better, whatever the direction; None: it was not measured.
        error: standard error of `gain`, over rows and seeds.
        seeds: that were trained with.
        rows: put aside.
        tuned: metric → mean over the seeds.
        defaults: likewise.
        why: it was not measured; empty: it was.
    """

    metric: str
    gain: float | None = None
    error: float | None = None
    seeds: tuple[int, ...] = ()
    rows: int = 0
    tuned: dict[str, float] = field(default_factory=dict)
    defaults: dict[str, float] = field(default_factory=dict)
    why: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether the tuned configuration is better beyond two standard errors."""
        return self.gain is not None and self.error is not None and self.gain > ERRORS * self.error

    @property
    def is_worse(self) -> bool:
        """Whether it is worse beyond two standard errors."""
        return self.gain is not None and self.error is not None and -self.gain > ERRORS * self.error

    def say(self) -> str:
        """One sentence."""
        if self.gain is None or self.error is None:
            return f"There is no verdict: {self.why}."
        by = f"{self.metric} better by {self.gain:.4f} ± {self.error:.4f}"
        if self.gain < 0:
            by = f"{self.metric} worse by {-self.gain:.4f} ± {self.error:.4f}"
        where = f"on {count_of(self.rows, 'row')} put aside, {len(self.seeds)} fresh seeds, paired"
        if self.is_shown:
            return f"It beats the defaults beyond noise: {by} ({where})."
        if self.is_worse:
            return f"It is worse than the defaults beyond noise, so they are kept: {by} ({where})."
        return f"It is not shown to beat the defaults: {by} ({where}); they are the safer choice."

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {**asdict(self), "is_shown": self.is_shown, "says": self.say()}


def reach_verdict(
    runner: TrialRunner,
    aside: pl.DataFrame,
    tuned: Configured,
    defaults: Configured,
    clock: Clock,
    num_pairs: int,
    first_seed: int,
    on_pair: Callable[[int], None] = lambda number: None,
) -> Verdict:
    """Train both on the rows of the trials, split anew for each seed, and compare their answers to the rows put aside.

    Args:
        runner: of the trials.
        aside: the rows that no trial has seen.
        tuned: the best configuration, and the sources of its values.
        defaults: likewise.
        clock: ends it; with time left over there are more pairs.
        num_pairs: that are wanted.
        first_seed: of the pairs; each counts on.
        on_pair: told how many pairs are complete.
    """
    labels, truth = _read_truth(runner, aside)
    answers: dict[str, list[Array]] = {"tuned": [], "defaults": []}
    seeds: list[int] = []
    while _goes_on(clock, len(seeds), num_pairs):
        seed = first_seed + len(seeds)
        pair, fresh = {}, runner.on_split(seed, "verdict")
        for name, configured in (("defaults", defaults), ("tuned", tuned)):
            pair[name] = _answer(fresh, configured, aside, labels, clock)
        on_pair(len(seeds) + 1)
        if (ours := pair["tuned"]) is None or (theirs := pair["defaults"]) is None:
            break
        answers["tuned"].append(ours)
        answers["defaults"].append(theirs)
        seeds.append(seed)
    if len(seeds) < LEAST_PAIRS:
        why = f"there was time for {count_of(len(seeds), 'pair')} of trainings, and {LEAST_PAIRS} are needed"
        return Verdict(runner.metric, rows=aside.height, why=why)
    task, decode = runner.prepared.schema.task, find_units(labels)
    objective = make_objective(task, runner.metric, decode)
    gain, error = bootstrap_gain(objective.judge, truth, answers["tuned"], answers["defaults"])
    scorer = make_scorer(task, runner.metric, decode=decode)
    means = {
        name: _average([scorer(truth, each) for each in found]) for name, found in answers.items()
    }
    return Verdict(
        runner.metric, gain, error, tuple(seeds), aside.height, means["tuned"], means["defaults"]
    )


def _goes_on(clock: Clock, done: int, wanted: int) -> bool:
    if clock.seconds is None:
        return done < wanted
    return done < MOST_PAIRS and clock.left > clock.pair / 1.15 * (1.0 if done else 0.8)


def _read_truth(runner: TrialRunner, aside: pl.DataFrame) -> tuple[Encoder, Array]:
    """The labels of all rows together, and those of the rows put aside as numbers."""
    schema = runner.prepared.schema
    known = (
        runner.prepared.train
        if runner.folds
        else pl.concat([runner.prepared.train, runner.prepared.val])
    )
    both = pl.concat([known.select(schema.targets), aside.select(schema.targets)])
    labels = fit_targets(both, schema.target, schema.task, schema.class_order)
    return labels, encode_targets(labels, aside, schema.targets)


def _answer(
    runner: TrialRunner,
    configured: Configured,
    aside: pl.DataFrame,
    labels: Encoder,
    clock: Clock,
) -> Array | None:
    """What one training answers to the rows put aside; None: there was no time for it."""
    outcome = runner.run_afresh(*configured, lambda: clock.left)
    if outcome.ended or outcome.run.kept is None:
        return None
    answers = answer_fold(Predictor.load(outcome.run.kept), aside, labels)
    drop_weights(outcome.run)
    logger.debug(f"{outcome.run.path}: answered {aside.height} rows put aside")
    return answers


def _average(found: list[dict[str, float]]) -> dict[str, float]:
    shared = set.intersection(*(set(each) for each in found))
    return {
        name: float(np.mean([each[name] for each in found])) for name in found[0] if name in shared
    }
