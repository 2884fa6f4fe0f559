"""TrialJob, run_trial: one trial of a study, in whatever process; what it reports is in the study's storage."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna

from bert_playground.config.schema import RunConfig
from bert_playground.files import is_storage_error
from bert_playground.runs import RunDir
from bert_playground.tuning.pruning import StepAndFoldPruner
from bert_playground.tuning.study import PROCESS, RUN, describe_failure, name_process, open_storage
from bert_playground.tuning.trial import Outcome, TrialRunner


@dataclass(frozen=True)
class TrialJob:
    """What another process needs to run a trial.

    Attributes:
        number: of the trial.
        trial_id: of the trial in its storage.
        study: its name.
        storage: its address; see `open_storage`.
        folder: of the study.
        runner: with the table of all trials.
        config: of the trial.
        sources: of its values.
        seconds: until the search ends.
        most_seconds: that this trial may take.
    """

    number: int
    trial_id: int
    study: str
    storage: str | None
    folder: Path
    runner: TrialRunner
    config: RunConfig
    sources: Mapping[str, str]
    seconds: float
    most_seconds: float


@dataclass(frozen=True)
class Ended:
    """What became of a trial in another process.

    Attributes:
        outcome: as in this process; None: it failed.
        failure: why; None: it did not.
    """

    outcome: Outcome | None
    failure: str | None = None


def run_trial(job: TrialJob) -> Ended:
    """Train the trial's configuration, report as it goes on, and end early where it is pruned.

    Raises:
        KeyboardInterrupt: it is to stop.
        OSError: the disk is full, or fails.
    """
    deadline = time.perf_counter() + job.seconds
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=job.study,
        storage=open_storage(job.storage, job.folder),
        sampler=optuna.samplers.RandomSampler(),  # nothing is drawn here
        pruner=StepAndFoldPruner(),
    )
    trial = optuna.Trial(study, job.trial_id)
    trial.set_user_attr(PROCESS, name_process())

    def note_folder(run: RunDir) -> None:
        trial.set_user_attr(RUN, str(run.path))

    try:
        outcome = job.runner.run(
            job.config,
            job.sources,
            reporter=trial,
            seconds_left=lambda: deadline - time.perf_counter(),
            most_seconds=job.most_seconds,
            on_begin=note_folder,
        )
    # Whatever a configuration dies of, the others go on; a full disk ends them all.
    except Exception as error:
        if is_storage_error(error):
            raise
        return Ended(None, describe_failure(error))
    return Ended(outcome)
