"""refit_members: each member of the blend fitted once more, on all rows, to answer in place of its models of the folds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from bert_playground.runs import RunDir
from bert_playground.tabular.predictor import fit_tabular
from bert_playground.training.build import fit_pipeline
from bert_playground.training.core import TrainState
from bert_playground.training.cross_validation.encoder_settings import settings_of_fold
from bert_playground.training.refit import refit
from bert_playground.training.start import start_run, write_run_config

if TYPE_CHECKING:
    from bert_playground.training.cross_validation.schedule import Schedule

FOLDER = "refit"  # beside the repeats


def refit_members(
    schedule: "Schedule", names: Sequence[str], epochs: Mapping[str, int]
) -> dict[str, list[Path]]:
    """Fit on all rows; what an earlier part of the run has finished is left as it is.

    Args:
        schedule: of the run.
        names: of the members that count.
        epochs: of the encoders, which all folds together chose.

    Returns:
        Member → its one model.
    """
    table = schedule.folds.table
    rows = replace(schedule.folds.prepared, train=table, val=table.head(0))
    found = {}
    for member in schedule.members:
        if member.name not in names:
            continue
        folder = schedule.run.fold_fits / FOLDER / member.name
        config = member.configure(schedule.config, schedule.config.training.seed)
        if not member.is_encoder:
            if not folder.is_dir():
                logger.info(f"{member.name}: refit on all {table.height} rows")
                pipeline = fit_pipeline(rows, config)
                model = fit_tabular(member.name, pipeline, table, seed=config.training.seed)
                folder.parent.mkdir(parents=True, exist_ok=True)
                model.save(folder)
            found[member.name] = [folder]
            continue
        run = RunDir(folder)
        if not run.refit.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            config = settings_of_fold(schedule.configure(member) or config, None)
            write_run_config(run, config, schedule.sources)
            start_run(run, config)
            run.checkpoints.mkdir(exist_ok=True)
            steps = math.ceil(table.height / config.training.batch_size)
            chosen = epochs[member.name]
            state = TrainState(best_epoch=chosen, best_step=chosen * steps, steps_per_epoch=steps)
            refit(rows, config, run, state)
        found[member.name] = [run.refit]
    return found
