"""run_cross_validation: models on every fold, their out-of-fold answers, and the blend that answers for all."""

import time
from collections.abc import Mapping
from pathlib import Path

from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare.folds import PreparedFolds, prepare_folds
from bert_playground.engines.engine import open_engine, require_engine
from bert_playground.logger import logger
from bert_playground.lookup import count_of
from bert_playground.runs import RunDir
from bert_playground.training.cross_validation.budget import Budget
from bert_playground.training.cross_validation.conclude import conclude
from bert_playground.training.cross_validation.members import (
    choose_members,
    describe_members,
    find_unavailable,
)
from bert_playground.training.cross_validation.pseudo_labels import require_pseudo_labels
from bert_playground.training.cross_validation.schedule import Schedule, Tuner
from bert_playground.training.run_folder import RunResult, run_in_folder
from bert_playground.training.start import read_sources, start_run
from bert_playground.training.track_run import track_tables


def run_cross_validation(
    config: RunConfig,
    sources: Mapping[str, str] | None = None,
    resume: Path | None = None,
    tune: Tuner | None = None,
) -> RunResult:
    """Fit every member on every fold, and blend them by what they answered out of fold.

    The run folder has folds.csv, oof.parquet, blend.json and summary.json, and answers like a checkpoint. What is complete
    is never fitted again: a run that was stopped, even killed, goes on by `resume`.

    Args:
        config: what was asked for; see its section `cross_validation`.
        sources: for each dotted path of the configuration where its value came from.
        resume: the folder of a run to go on with, by the configuration that it has stored.
        tune: tries settings for the member `tuned`; None: that member is left out.

    Raises:
        ValueError: tables, folds or configuration do not fit, or no member could be fitted on all folds.
        KeyboardInterrupt: Ctrl-C; a note says how to go on.
    """

    def body(run: RunDir, config: RunConfig, checkpoint: Path | None) -> RunResult:
        return _cross_validate(run, config, read_sources(run), tune)

    return run_in_folder(body, "train", config, sources, resume)


def _cross_validate(
    run: RunDir, config: RunConfig, sources: Mapping[str, str], tune: Tuner | None
) -> RunResult:
    started = time.perf_counter()
    if not config.checkpoint.enable_checkpointing:
        raise ValueError(
            "a blend is made of checkpoints; leave checkpoint.enable_checkpointing on, or --folds out"
        )
    _ = config.training.rows_per_batch  # one number for all folds
    require_engine(config.engine.asked, f"bert train --engine {config.engine.name}")
    members, unavailable = choose_members(config), find_unavailable(config)
    start_run(run, config)
    folds = prepare_folds(config)
    if config.cross_validation.pseudo is not None:
        require_pseudo_labels(folds.prepared)
    for note in folds.prepared.notes:
        logger.info(note)
    table = folds.table
    track_tables(config, table.columns, folds.prepared.schema.targets, table.height)
    run.fold_fits.mkdir(exist_ok=True)
    _keep_folds(run, folds)
    logger.info(
        f"{count_of(len(members), 'model')} on each of {len(folds.folds)} folds: {describe_members(members)}"
    )
    for name, why in unavailable.items():
        logger.info(f"{name} is left out: {why}")
    budget = Budget(config.cross_validation.time, started)
    with open_engine(config.engine.asked, config.cross_validation.jobs, run.config) as engine:
        schedule = Schedule(run, config, sources, folds, members, budget, engine=engine, tune=tune)
        schedule.skipped.update(unavailable)
        schedule.fit_all()
    return conclude(run, config, folds, schedule, time.perf_counter() - started)


def _keep_folds(run: RunDir, folds: PreparedFolds) -> None:
    """The first time they are written down; a run that goes on must have the same."""
    for repeat in range(len(folds.assignments)):
        path = run.folds_file(repeat)
        if path.is_file():
            folds.require_same(path, repeat)
        elif folds.prepared.schema.windows is None:
            folds.write(path, repeat)
