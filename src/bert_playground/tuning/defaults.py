"""train_defaults: the first training of a study; choose_folds: trials on folds, where there is time for enough of them."""

from dataclasses import dataclass, field

from bert_playground.logger import logger
from bert_playground.tuning.clock import Clock
from bert_playground.tuning.progress import TuneProgress
from bert_playground.tuning.pruning import Kept
from bert_playground.tuning.request import TuneRequest
from bert_playground.tuning.trial import Outcome, TrialRunner

FOLDS = 5
LEAST_TRIALS = 20  # on folds, that there must be time for: a search over fewer finds little


@dataclass(frozen=True)
class DefaultsRun:
    """The run by the defaults.

    Attributes:
        outcome: of it, which did not end early.
        values: of the metric, at the parts and folds that trials report.
    """

    outcome: Outcome
    values: dict[int, float] = field(default_factory=dict)


def train_defaults(runner: TrialRunner, clock: Clock, progress: TuneProgress) -> DefaultsRun:
    """Train as the configuration is, and tell the clock how long it took.

    Raises:
        ValueError: there is not enough time even for that.
    """
    progress.begin("the defaults")
    kept = Kept()
    outcome = runner.run(
        runner.config,
        runner.sources,
        reporter=kept,
        seconds_left=lambda: clock.left,
        on_progress=progress.step,
    )
    if outcome.value is None:
        raise ValueError(
            f"one training by the defaults takes longer than --time {clock.seconds:g}s allows; give more, or fewer --epochs"
        )
    clock.defaults = outcome.seconds
    return DefaultsRun(outcome, kept.values)


def may_choose_folds(runner: TrialRunner, asked: TuneRequest) -> bool:
    """Whether it is left to us how trials are validated: nobody asked for folds, other rows or a number of trials.

    Processes that meet in a storage elsewhere would not know of each other's choice.
    """
    data = runner.config.data
    is_open = runner.sources.get("cross_validation.folds", "default") == "default"
    is_split = data.val is not None or data.folds is not None
    return is_open and not is_split and asked.seconds is not None and asked.storage is None


def choose_folds(clock: Clock) -> int:
    """On how many folds trials are trained; 0: on one split, as there is time for too few trials on folds.

    On folds the score of a trial is of all rows, and not luck with a fifth of them.
    """
    num = clock.foresee_trials() / FOLDS
    if num < LEAST_TRIALS:
        return 0
    logger.info(
        f"each trial is validated on all rows, by {FOLDS} folds: there is time for about {num:.0f} trials as long as the defaults"
    )
    return FOLDS
