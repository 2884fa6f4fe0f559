"""run_tuning: a study from its table to its verdict, in a folder that another call, or another process, goes on with."""

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from bert_playground.config.schema import RunConfig
from bert_playground.engines.engine import open_engine, require_engine
from bert_playground.environment import describe_environment
from bert_playground.logger import logger
from bert_playground.logs import log_to_file
from bert_playground.models.sizes import fit_to_checkpoint
from bert_playground.runs import TRIALS, RunDir
from bert_playground.training.run_folder import read_run_config
from bert_playground.training.start import read_sources, write_json, write_run_config
from bert_playground.training.track_run import track_run
from bert_playground.tuning.clock import Clock
from bert_playground.tuning.conclude import conclude_study
from bert_playground.tuning.default_space import FIRST_STEP, list_first_steps, make_default_space
from bert_playground.tuning.defaults import (
    DefaultsRun,
    choose_folds,
    may_choose_folds,
    train_defaults,
)
from bert_playground.tuning.presence import Presence, share_study
from bert_playground.tuning.progress import TuneProgress, create_progress
from bert_playground.tuning.read_space import parse_space
from bert_playground.tuning.request import TuneRequest, find_study
from bert_playground.tuning.rows import TunedRows, put_rows_aside
from bert_playground.tuning.search import Search
from bert_playground.tuning.settings import TableFacts, list_defaults
from bert_playground.tuning.space import Space, list_dimensions
from bert_playground.tuning.study import free_killed_trials, open_storage, open_study
from bert_playground.tuning.trial import TrialRunner
from bert_playground.tuning.warm_start import collect_starts

COMMAND = "tune"
SESSION = "session:"  # attributes of a study: the seconds of each process


def run_tuning(
    config: RunConfig,
    sources: Mapping[str, str],
    asked: TuneRequest,
    resume: Path | None = None,
) -> dict[str, Any]:
    """Try settings, and say whether the best ones beat the defaults on rows that no trial has seen.

    Args:
        config: of all trials, as `bert train` would take it.
        sources: for each dotted path where its value came from.
        asked: of the study.
        resume: the folder of a study to go on with, also beside a process that is at work on it; its configuration and space
            are those that it has stored.

    Returns:
        What summary.json holds.

    Raises:
        ValueError: table, configuration or space do not fit, or there is too little time for a single training.
        FileNotFoundError: a file is not there.
        KeyboardInterrupt: Ctrl-C; a note says how to go on.
    """
    started = time.perf_counter()
    require_engine(config.engine.asked, f"bert tune --engine {config.engine.name}")
    is_time_given = resume is None or asked.seconds is not None
    if resume is None:
        if asked.space is not None:
            parse_space(asked.space, config, asked.space_name)
        _ = config.training.rows_per_batch  # one number for all trials
        config, source = fit_to_checkpoint(config, sources)
        run, sources = RunDir.create(config.training.output_dir), source
        if (
            config.model.pretrain == "auto"
            and sources.get("model.pretrain", "default") == "default"
        ):
            # Each trial would pretrain anew. As a setting that was given it also stands in the best configuration.
            config = config.with_changes({"model": {"pretrain": "off"}})
            sources = {**sources, "model.pretrain": "bert tune"}
        write_run_config(run, config, sources, COMMAND)
        write_json(run.environment, {"seed": config.training.seed, **describe_environment()})
        asked = replace(asked, study=asked.study or run.path.name)
        asked.write(run)
    else:
        run = find_study(resume)
        config = read_run_config(run, config, sources, COMMAND)
        sources = read_sources(run)
        asked = TuneRequest.read(run).go_on(asked.seconds, asked.trials, asked.warm_start)
    try:
        with (
            share_study(run) as presence,
            log_to_file(run.train_log),
            track_run(run, config, sources, COMMAND, is_resumed=resume is not None),
        ):
            return _tune(
                run,
                config,
                sources,
                asked,
                presence,
                started,
                is_new=resume is None,
                is_time_given=is_time_given,
            )
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"what is complete is kept; go on with: bert tune --resume {run.path}")
        raise
    finally:
        if resume is None and not any((run.path / TRIALS).glob("run_*")):
            shutil.rmtree(run.path, ignore_errors=True)


def _tune(
    run: RunDir,
    config: RunConfig,
    sources: Mapping[str, str],
    asked: TuneRequest,
    presence: Presence,
    started: float,
    *,
    is_new: bool,
    is_time_given: bool,
) -> dict[str, Any]:
    rows = put_rows_aside(_fix_split(config), asked.aside, run.path / "rows")
    num_pairs = asked.seeds if rows.aside is not None else 0
    clock = Clock(asked.seconds, num_pairs, started, has_race=True)
    with closing(create_progress(clock, asked.most_trials)) as progress:
        runner = TrialRunner.prepare(rows.config, sources, _metric(config), run.path / TRIALS)
        runner, first = _choose_runner(runner, run, asked, presence, clock, progress)
        for note in runner.prepared.notes:
            logger.info(note)
        facts = _learn_facts(runner)
        space = _make_space(asked, rows.config, sources, facts)
        study = _open_study(run, asked, runner, rows, space)
        if is_new or presence.is_alone:
            free_killed_trials(study)
        if asked.seconds is not None and presence.is_alone and not is_time_given:
            clock.seconds = max(asked.seconds - _seconds_before(study), 1.0)
        session = f"{os.getpid()}-{started:.0f}"
        keep_account = partial(_keep_account, study, session, clock, presence)
        _log_space(runner.metric, space)
        search = Search(
            study,
            runner,
            space,
            facts,
            clock,
            asked.most_trials,
            progress,
            keep_account,
            asked.storage,
        )
        try:
            if is_new or presence.is_alone:
                search.run_defaults(first)
            starts = collect_starts(asked.warm_start, space, rows.config, facts, runner.metric)
            search.enqueue(starts, "warm start")
            if is_new and asked.space is None:
                known = list_defaults(space, rows.config, facts)
                search.enqueue(list_first_steps(space, known), FIRST_STEP)
            jobs = config.cross_validation.jobs
            with open_engine(config.engine.asked, jobs, run.config) as engine:
                search.run_trials(engine)
            if not presence.is_last():
                logger.info(
                    "another process is still at work on the study, and will conclude it when it ends"
                )
                return {"run": str(run.path), "concluded": False, "seconds": clock.elapsed}
            return conclude_study(run, search, rows, asked, started)
        finally:
            keep_account()


def _open_study(
    run: RunDir, asked: TuneRequest, runner: TrialRunner, rows: TunedRows, space: Space
) -> optuna.Study:
    assert asked.study is not None  # since the study began
    return open_study(
        open_storage(asked.storage, run.path),
        asked.study,
        higher_is_better=runner.objective.higher_is_better,
        seed=runner.config.training.seed,
        question=_describe_question(runner, rows, space),
    )


def _choose_runner(
    runner: TrialRunner,
    run: RunDir,
    asked: TuneRequest,
    presence: Presence,
    clock: Clock,
    progress: TuneProgress,
) -> tuple[TrialRunner, DefaultsRun | None]:
    """On one split or on folds, as the study decided or decides now; and the run by the defaults, if that was needed for it.

    Raises:
        ValueError: another process is about to decide.
    """
    first, folds = None, asked.folds
    if folds is None:
        if not presence.is_alone:
            raise ValueError(
                f"{run.path} is still at its first training, which decides how trials are validated; join it after that"
            )
        folds = 0
        if may_choose_folds(runner, asked):
            first = train_defaults(runner, clock, progress)
            folds = choose_folds(clock)
    if folds:
        try:
            runner, first = runner.on_folds(folds), None
        except ValueError as error:
            logger.info(f"trials stay on one split: {error}")
            folds = 0
    if asked.folds is None:
        replace(asked, folds=folds).write(run)
    clock.fits_per_trial = 1 if runner.folds is None else len(runner.folds.folds)
    return runner, first


def _log_space(metric: str, space: Space) -> None:
    logger.info(f"tuned by {metric}, {len(space.dimensions)} settings:")
    for path, said in list_dimensions(space):
        logger.info(f"  {path}: {said}")


def _keep_account(study: optuna.Study, session: str, clock: Clock, presence: Presence) -> None:
    value = {"seconds": clock.elapsed, "beside": not presence.is_alone}
    study.set_user_attr(f"{SESSION}{session}", value)


def _fix_split(config: RunConfig) -> RunConfig:
    """All trials are validated on the same rows, whatever their seed."""
    fixed: dict[str, dict[str, Any]] = {
        "data": {"split_seed": config.split_seed},
        "cross_validation": {"time": None, "members": ("encoder",)},
    }
    return config.with_changes(fixed)


def _metric(config: RunConfig) -> str | None:
    asked = config.training.metric or config.checkpoint.best_model_metric
    return None if asked is None else asked.removeprefix("val_")


def _learn_facts(runner: TrialRunner) -> TableFacts:
    prepared = runner.prepared_of_trial()
    return TableFacts.of(prepared, runner.fit_pipeline(prepared, runner.config), runner.config)


def _make_space(
    asked: TuneRequest, config: RunConfig, sources: Mapping[str, str], facts: TableFacts
) -> Space:
    if asked.space is not None:
        return parse_space(asked.space, config, asked.space_name)
    return make_default_space(config, sources, facts)


def _describe_question(runner: TrialRunner, rows: TunedRows, space: Space) -> dict[str, Any]:
    """What makes trials comparable."""
    prepared = runner.prepared
    return {
        "space": space.to_dict(),
        "metric": runner.metric,
        "target": prepared.schema.target,
        "folds": runner.config.cross_validation.folds,
        "model": runner.config.model.pretrained,
        "rows": prepared.train.height,
        "rows put aside": 0 if rows.aside is None else rows.aside.height,
    }


def _seconds_before(study: optuna.Study) -> float:
    """That processes have spent on the study one after another; what was killed between trials is not counted."""
    return sum(
        float(value["seconds"])
        for name, value in study.user_attrs.items()
        if name.startswith(SESSION) and not value["beside"]
    )


def show_space(config: RunConfig, sources: Mapping[str, str], asked: TuneRequest) -> dict[str, Any]:
    """The space that would be tuned, as a file of spaces has it; the table is read, nothing is written."""
    if asked.space is not None:
        return parse_space(asked.space, config, asked.space_name).to_dict()
    config, sources = fit_to_checkpoint(config, sources)
    runner = TrialRunner.prepare(_fix_split(config), sources, _metric(config), Path())
    return make_default_space(config, sources, _learn_facts(runner)).to_dict()
