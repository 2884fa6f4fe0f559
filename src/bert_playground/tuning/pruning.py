"""StepAndFoldPruner: Hyperband within a training, Wilcoxon's test over folds; Follower: the trainer's link to a trial."""

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol, cast

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, WilcoxonPruner
from optuna.trial import FrozenTrial, TrialState

from bert_playground.logger import logger
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState

PARTS = 9  # of a training: trials with other epochs are compared at the same part of their schedule
LEAST_PARTS = 2
LEAST_COMPLETE = 4  # trials before any is ended within a training: the best of one or two is luck
FIRST_FOLD = 100  # the step of Optuna from which on a step is a fold
P_THRESHOLD = 0.13  # three folds that are all worse have 1/8
PRUNED, OUT_OF_TIME, TOO_SLOW = "pruned", "the time of the study is up", "too slow"
FORESEEN_STEPS, FORESEEN_SECONDS = 20, 2.0  # from which on the pace tells how long a training takes
CLEARLY = 1.5  # times longer than it may: patience ends many a training before its last step


class StepAndFoldPruner(BasePruner):
    """Ends trials: by Hyperband at parts of a training, by the Wilcoxon signed-rank test over folds against the best trial."""

    def __init__(self) -> None:
        """Make both."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.steps = HyperbandPruner(min_resource=LEAST_PARTS, max_resource=PARTS)
            self.folds = WilcoxonPruner(p_threshold=P_THRESHOLD)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is not worth going on with."""
        if trial.last_step is None:
            return False
        if trial.last_step < FIRST_FOLD:
            is_behind = self.steps.prune(study, trial)  # which also remembers the value
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            return is_behind and len(complete) >= LEAST_COMPLETE
        try:
            best = study.best_trial
        except ValueError:  # none is complete
            return False
        mine, theirs = folds_of(trial), folds_of(best)
        shared = {step: value for step, value in mine.items() if step in theirs}
        if len(shared) < 2:
            return False
        seen = SimpleNamespace(
            best_trial=SimpleNamespace(intermediate_values=theirs), direction=study.direction
        )
        asked = SimpleNamespace(number=trial.number, intermediate_values=shared)
        return self.folds.prune(cast("optuna.Study", seen), cast("FrozenTrial", asked))


def folds_of(trial: FrozenTrial) -> dict[int, float]:
    """Number → value of the folds of a trial."""
    values = trial.intermediate_values.items()
    return {step: value for step, value in values if step >= FIRST_FOLD}


class Reporter(Protocol):
    """Who is told the values of a trial as it runs: one of Optuna, or the run by the defaults, which is never pruned."""

    def report(self, value: float, step: int) -> None:
        """Take a value."""

    def should_prune(self) -> bool:
        """Whether the trial is not worth going on with."""


class Kept:
    """A reporter that remembers the values, and prunes nothing."""

    def __init__(self) -> None:
        """Begin without values."""
        self.values: dict[int, float] = {}

    def report(self, value: float, step: int) -> None:
        """Remember it."""
        self.values.setdefault(step, value)

    def should_prune(self) -> bool:
        """Never."""
        return False


class Follower(Callback):
    """Tells a reporter the metric after each evaluation, and ends a training that is pruned or has no time left."""

    def __init__(
        self,
        reporter: Reporter | None,
        metric: str,
        seconds_left: Callable[[], float],
        on_progress: Callable[[TrainState], None] = lambda state: None,
        most_seconds: float = float("inf"),
    ) -> None:
        """Make the callback.

        Args:
            reporter: of the trial; None: only the time is watched.
            metric: as the trainer calls it, such as val_log_loss.
            seconds_left: for this training; at 0 it ends.
            on_progress: called after each step.
            most_seconds: that it may take; one that clearly will take longer ends at once.
        """
        self.most_seconds = most_seconds
        self.reporter = reporter
        self.metric = metric
        self.seconds_left = seconds_left
        self.on_progress = on_progress
        self.reported = 0

    def on_step_end(self, state: TrainState) -> None:
        """Look at the time."""
        self.on_progress(state)
        if self.seconds_left() <= 0 and state.step < state.total_steps:
            state.stop_reason = OUT_OF_TIME
        elif state.step >= FORESEEN_STEPS and state.seconds >= FORESEEN_SECONDS:
            foreseen = state.seconds / state.step * state.total_steps
            if foreseen > CLEARLY * self.most_seconds:
                state.stop_reason = f"{TOO_SLOW}: all {state.total_steps} steps would take {foreseen:.0f} s, and one trial may take {self.most_seconds:.0f} s"

    def on_evaluate_end(self, state: TrainState) -> None:
        """Report, once for each part of the training."""
        value = state.metrics.get(self.metric)
        part = PARTS * state.step // max(state.total_steps, 1)
        if self.reporter is None or value is None or part <= self.reported or state.stop_reason:
            return
        self.reported = part
        self.reporter.report(value, part)
        if part < PARTS and self.reporter.should_prune():
            state.stop_reason = f"{PRUNED} after {state.step} of {state.total_steps} steps"
            logger.debug(state.stop_reason)


def outcome_of(summary: dict[str, Any]) -> str | None:
    """Why a trial ended before its time, from its summary; None: it did not."""
    reason = summary.get("stop_reason") or ""
    return reason if reason.startswith((PRUNED, OUT_OF_TIME, TOO_SLOW)) else None
