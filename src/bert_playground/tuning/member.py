"""tune_member: settings of an encoder tried on the folds of a run over folds; the other folds choose which ones answer a fold."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare.folds import PreparedFolds
from bert_playground.data.targets.fit import find_units
from bert_playground.files import replaced_directory
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.run_record import read_record
from bert_playground.runs import TRIALS, RunDir
from bert_playground.tasks import TASKS
from bert_playground.training.build import fit_pipeline
from bert_playground.training.cross_validation.conclude import find_objective, measure_encoder
from bert_playground.training.cross_validation.fold_fit import read_answers, write_answers
from bert_playground.training.cross_validation.members import Member
from bert_playground.training.cross_validation.schedule import Schedule
from bert_playground.training.objectives import make_objective
from bert_playground.tuning.clock import Clock
from bert_playground.tuning.conclude import list_trials
from bert_playground.tuning.default_space import FIRST_STEP, list_first_steps, make_default_space
from bert_playground.tuning.progress import create_progress
from bert_playground.tuning.pruning import FIRST_FOLD
from bert_playground.tuning.search import Search, describe_trials
from bert_playground.tuning.settings import TableFacts, list_defaults
from bert_playground.tuning.study import (
    DEFAULTS,
    RUN,
    best_trial,
    complete_trials,
    free_killed_trials,
    open_storage,
    open_study,
)
from bert_playground.tuning.trial import Outcome, TrialRunner
from bert_playground.tuning.weights import drop_weights

Array = np.ndarray[Any, Any]
FOLDER = "tuning"  # in the run over folds
ENCODER = "encoder"  # what a trial calls its only member
LEAST_TRIALS = 2  # for which there must be time
MOST_TRIALS = 10  # where no time is set


def tune_member(schedule: Schedule, member: Member) -> list[dict[str, Any]]:
    """Try settings of the first encoder in the time that is left, and make a member of the trials.

    Trials are trained on the folds of the run, and pruned over them. What the member says of a fold is what the trial says
    of it that is best on all other folds, so no fold chooses its own answers; as of epochs, the models that answer other
    tables are those that all folds choose. Sampler and pruning see all folds.

    Args:
        schedule: of the run; every other member is fitted.
        member: to fit; `schedule.skipped` or `schedule.failures` says why it was not.

    Returns:
        Each trial: parameters, state, metric, value, seconds, folder.
    """
    base = _find_base(schedule)
    if base is None or schedule.folds.prepared.schema.windows is not None:
        _skip(schedule, member, "no encoder has all folds, or they are windows of a series")
        return []
    taken, left = _seconds_of(schedule, base), schedule.budget.left
    if left < LEAST_TRIALS * taken:
        needed = f"one trial takes about {taken:.0f} s, as {base.name} did"
        _skip(schedule, member, f"{max(left, 0):.0f} s were left, and {needed}")
        return []
    search = _open_search(schedule, base, taken)
    logger.info(f"{member.name}: settings of {base.name} are tried{_say_limit(schedule)}")
    try:
        search.run_trials(schedule.engine)
    except ValueError as error:  # the first trials all failed
        schedule.failures[member.name] = str(error)
        return _list_trials(search)
    finally:
        search.progress.close()
    _take_models(schedule, member, search)
    return _list_trials(search)


def _find_base(schedule: Schedule) -> Member | None:
    """The first encoder that has all folds of all repeats."""
    complete, whole = schedule.complete(), len(schedule.folds.folds)
    encoders = (member for member in schedule.members if member.is_encoder)
    return next((each for each in encoders if len(complete.get(each.name, ())) == whole), None)


def _skip(schedule: Schedule, member: Member, why: str) -> None:
    schedule.skipped[member.name] = why
    logger.info(f"{member.name} is left out: {why}")


def _list_trials(search: Search) -> list[dict[str, Any]]:
    metric = search.runner.metric
    return [
        {**each, "metric": metric} for each in list_trials(search) if each["origin"] != DEFAULTS
    ]


def _say_limit(schedule: Schedule) -> str:
    if schedule.budget.seconds is None:
        return f" {MOST_TRIALS} times, as there is no --time"
    return f" in the {schedule.budget.left:.0f} s that are left"


def _seconds_of(schedule: Schedule, base: Member) -> float:
    """That the models of an encoder took, one after another."""
    folders = [_folder_of(schedule, base.name, number) for number in _numbers(schedule)]
    return sum(read_record(folder).summary.seconds or 0.0 for folder in folders)


def _folder_of(schedule: Schedule, name: str, number: int) -> Path:
    fold = schedule.folds.folds[number]
    return schedule.run.fold_fit(fold.repeat, fold.number, name)


def _open_search(schedule: Schedule, base: Member, seconds: float) -> Search:
    """A study in the run's folder, or the one that an earlier part of the run has begun."""
    folder, folds = schedule.run.path / FOLDER, schedule.folds
    config = _configure_trials(schedule, base)
    runner = TrialRunner(
        config,
        schedule.sources,
        folds.prepared,
        folds,
        _choose_metric(config, folds),
        folder / TRIALS,
    )
    prepared = runner.prepared_of_trial()
    facts = TableFacts.of(prepared, fit_pipeline(prepared, config), config)
    space = make_default_space(config, schedule.sources, facts)
    study = open_study(
        open_storage(None, folder),
        FOLDER,
        higher_is_better=runner.objective.higher_is_better,
        seed=config.training.seed,
        question={"space": space.to_dict(), "of": base.name},
    )
    free_killed_trials(study)
    is_timed = schedule.budget.seconds is not None
    clock = Clock(schedule.budget.left if is_timed else None, 0, time.perf_counter())
    most_trials = float("inf") if is_timed else MOST_TRIALS
    progress = create_progress(clock, most_trials)
    search = Search(study, runner, space, facts, clock, most_trials, progress)
    if search.defaults is None:
        _learn_base(schedule, base, search, seconds)
        search.enqueue(list_first_steps(space, list_defaults(space, config, facts)), FIRST_STEP)
    clock.defaults = seconds
    return search


def _configure_trials(schedule: Schedule, base: Member) -> RunConfig:
    """The encoder's configuration, over the folds of the run."""
    asked = schedule.config
    config = schedule.configure(base)
    assert config is not None  # its folds have been fitted by it
    return config.with_changes(
        {
            "cross_validation": {"folds": asked.cross_validation.folds, "pseudo": None},
            "data": {"split_seed": asked.split_seed},
        }
    )


def _choose_metric(config: RunConfig, folds: PreparedFolds) -> str:
    """As of a blend: of classes the log loss, which is less noisy than what looks at decided ones; of numbers the metric."""
    objective = find_objective(config, folds)
    return "log_loss" if TASKS[objective.task].is_classification else objective.name


def _learn_base(schedule: Schedule, base: Member, search: Search, seconds: float) -> None:
    """Tell the study what the settings as they are gave, fold by fold."""
    metrics = measure_encoder(schedule.run, schedule.config, schedule.folds, base.name)
    metric, values = f"val_{search.runner.metric}", {}
    for number in _numbers(schedule):
        found = read_record(_folder_of(schedule, base.name, number)).summary.metrics
        values[FIRST_FOLD + number] = found[metric]
    value = metrics[metric]
    # The study's folder, in which there are no weights to drop when a trial is better.
    outcome = Outcome(RunDir(schedule.run.path / FOLDER), value, None, seconds, None, metrics)
    search.learn_defaults(outcome, None, values)


def _take_models(schedule: Schedule, member: Member, search: Search) -> None:
    """The trials' models and answers become those of the member."""
    trials, best = complete_trials(search.study), best_trial(search.study)
    if best is None:
        _skip(schedule, member, f"none of {describe_trials(search)} was trained on all folds")
        return
    answers = [
        [_read_answers(schedule, trial, number) for number in _numbers(schedule)]
        for trial in trials
    ]
    chosen = choose_trials(_judge_answers(search.runner, answers))
    for number in _numbers(schedule):
        target = _folder_of(schedule, member.name, number)
        with replaced_directory(target) as folder:
            shutil.copytree(_trial_folder(schedule, best, number), folder, dirs_exist_ok=True)
            write_answers(folder, answers[chosen[number]][number])
    drop_weights(RunDir(Path(best.user_attrs[RUN])))
    counts = {trials[place].number: chosen.count(place) for place in sorted(set(chosen))}
    said = ", ".join(
        f"trial {number} for {count_of(times, 'fold')}" for number, times in counts.items()
    )
    logger.info(f"{member.name}: {describe_trials(search)}; by the other folds {said}")


def choose_trials(scores: Array) -> list[int]:
    """For each fold the trial that is best on all other folds.

    Args:
        scores: [T, K] of T trials on K folds, more is better.
    """
    if scores.shape[1] == 1:
        return [int(scores[:, 0].argmax())]
    others = np.nansum(scores, axis=1, keepdims=True) - np.nan_to_num(scores)
    return [int(place) for place in others.argmax(axis=0)]


def _numbers(schedule: Schedule) -> range:
    return range(len(schedule.folds.folds))


def _trial_folder(schedule: Schedule, trial: FrozenTrial, number: int) -> Path:
    fold = schedule.folds.folds[number]
    return RunDir(Path(trial.user_attrs[RUN])).fold_fit(fold.repeat, fold.number, ENCODER)


def _read_answers(schedule: Schedule, trial: FrozenTrial, number: int) -> Array:
    answers = read_answers(_trial_folder(schedule, trial, number))
    assert answers is not None  # of a complete trial
    return answers


def _judge_answers(runner: TrialRunner, answers: Sequence[Sequence[Array]]) -> Array:
    """[T, K], more is better."""
    folds = runner.folds
    assert folds is not None
    units = find_units(folds.labels)
    objective = make_objective(runner.prepared.schema.task, runner.metric, units)
    truth = [folds.truth[fold.val] for fold in folds.folds]
    return np.array(
        [[objective.judge(*pair) for pair in zip(truth, each, strict=True)] for each in answers]
    )
