"""open_study: a study of Optuna in a journal file or any other storage; what was killed in it is set free again."""

import os
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend
from optuna.trial import FrozenTrial, TrialState

from bert_playground.documents import readable_study
from bert_playground.leftovers import is_alive
from bert_playground.logger import logger
from bert_playground.run_lock import is_running
from bert_playground.runs import RunDir
from bert_playground.tuning.pruning import StepAndFoldPruner

JOURNAL = "study.journal"
RANDOM_TRIALS = 8  # before the sampler trusts its model
QUESTION = "bert.question"  # what the trials of a study have in common
DEFAULTS = "defaults"  # the study's attribute with what the run by the defaults gave, and the origin of its trial
# Attributes of trials.
RUN, REASON, ORIGIN, PROCESS, SECONDS, RETRIED = "run", "reason", "origin", "process", "seconds", "retried"  # fmt: skip


def open_storage(address: str | None, folder: Path) -> BaseStorage:
    """The storage at an address.

    Args:
        address: `sqlite:///FILE`, `postgresql://…` or another of SQLAlchemy, `redis://…`, `grpc://HOST:PORT`, or the path of a
            journal file; None: a journal file in the folder.
        folder: of the study.

    Raises:
        ValueError: it cannot be opened; says why.
    """
    if address is None or "://" not in address:
        path = folder / JOURNAL if address is None else Path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        with readable_study(str(path)):
            return JournalStorage(JournalFileBackend(str(path)))
    try:
        if address.startswith("redis"):
            return JournalStorage(JournalRedisBackend(address))
        if address.startswith("grpc://"):
            host, _, port = address.removeprefix("grpc://").partition(":")
            return optuna.storages.GrpcStorageProxy(host=host, port=int(port or 13000))
        return RDBStorage(address, skip_compatibility_check=False)
    # Each of them has errors of its own, down to those of a driver that is not installed.
    except Exception as error:
        kind = address.partition("://")[0]
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"the storage {kind}://… cannot be opened: {first or type(error).__name__}; expected such as sqlite:///study.db, "
            "postgresql://…, redis://…, grpc://HOST:PORT, or the path of a journal file"
        ) from error


def open_study(
    storage: BaseStorage,
    name: str,
    *,
    higher_is_better: bool,
    seed: int,
    question: Mapping[str, Any],
) -> optuna.Study:
    """The study of this name, made where it is not there.

    Args:
        storage: that holds it.
        name: of the study.
        higher_is_better: the direction of the metric.
        seed: of the sampler; several processes, and a study that goes on, draw other trials.
        question: what its trials have in common; one that goes on must ask the same.

    Raises:
        ValueError: it asks something else; all differences are listed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with readable_study(f"the storage of {name!r}"):
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
            pruner=StepAndFoldPruner(),
        )
    known = study.user_attrs.get(QUESTION)
    if known is None:
        study.set_user_attr(QUESTION, dict(question))
    elif differing := [key for key in question if known.get(key) != question[key]]:
        listed = "\n  ".join(f"{key}: {known.get(key)}, now {question[key]}" for key in differing)
        raise ValueError(
            f"the study {name!r} asks something else:\n  {listed}\ngive the same, or another name with --study"
        )
    drawn = len(study.get_trials(deepcopy=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            seed=(seed * 1009 + drawn * 31 + os.getpid()) % 2**32 if drawn else seed,
            n_startup_trials=RANDOM_TRIALS,
        )
    return study


def name_process() -> str:
    """Host and number of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def free_killed_trials(study: optuna.Study) -> int:
    """Mark trials whose process is gone as failed, and ask for each once more; returns how many.

    Trials of other machines are left alone: nobody here knows whether they run.
    """
    killed = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if _is_killed(trial)
    ]
    for trial in killed:
        optuna.Trial(study, trial._trial_id).set_user_attr(REASON, "the process was killed")
        study.tell(trial.number, state=TrialState.FAIL)
        if not trial.user_attrs.get(RETRIED) and trial.params:
            study.enqueue_trial(trial.params, user_attrs={RETRIED: True, ORIGIN: "killed before"})
        logger.info(f"trial {trial.number} was killed while it ran; it is tried once more")
    return len(killed)


def _is_killed(trial: FrozenTrial) -> bool:
    host, _, number = str(trial.user_attrs.get(PROCESS, "")).rpartition(":")
    if host and host != socket.gethostname():
        return False
    if run := trial.user_attrs.get(RUN):
        return not is_running(RunDir(Path(run)))
    return not (number.isdigit() and is_alive(int(number)))


def describe_failure(error: Exception) -> str:
    """Why a trial failed, in words."""
    said = str(error) or type(error).__name__
    is_memory = (
        isinstance(error, MemoryError) or "malloc" in said or "out of memory" in said.lower()
    )
    return f"out of memory: {said}" if is_memory else f"{type(error).__name__}: {said}"


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """All that ended in any way."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def is_default(trial: FrozenTrial) -> bool:
    """Whether it is the run by the defaults."""
    return bool(trial.user_attrs.get(ORIGIN) == DEFAULTS)


def complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """All that have a value, but for the run by the defaults."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in complete if not is_default(trial)]


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The complete one with the best value; the run by the defaults is none."""
    complete = complete_trials(study)
    if not complete:
        return None
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
