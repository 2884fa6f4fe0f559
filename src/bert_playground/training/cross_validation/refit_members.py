"""refit_members: each member of the blend fitted once more, on all rows, to answer in place of its models of the folds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bert_playground.data.prepare import Prepared
from bert_playground.logger import logger
from bert_playground.runs import RunDir
from bert_playground.tabular.predictor import fit_tabular
from bert_playground.training.cross_validation.encoder_settings import settings_of_fold
from bert_playground.training.cross_validation.fold_fit import share_pipeline
from bert_playground.training.cross_validation.members import Member
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
        Member → its one model; the tuned one keeps those of its folds.
    """
    table = schedule.folds.table
    rows = replace(schedule.folds.prepared, train=table, val=table.head(0))
    found = {}
    for member in schedule.members:
        if member.name in names and not member.is_tuned:  # whose folds have settings of their own
            folder = schedule.run.fold_fits / FOLDER / member.name
            fit_once = _refit_encoder if member.is_encoder else _refit_beside
            found[member.name] = [fit_once(schedule, member, rows, folder, epochs)]
    return found


def _refit_beside(
    schedule: "Schedule", member: Member, rows: Prepared, folder: Path, epochs: Mapping[str, int]
) -> Path:
    del epochs
    if not folder.is_dir():
        config = schedule.config
        shared = folder.parent / "pipeline"
        logger.info(f"{member.name}: refit on all {rows.train.height} rows")
        pipeline = share_pipeline(shared, rows, config)
        seed = config.training.seed
        fit_tabular(member.name, pipeline, rows.train, seed=seed).save(folder)
    return folder


def _refit_encoder(
    schedule: "Schedule", member: Member, rows: Prepared, folder: Path, epochs: Mapping[str, int]
) -> Path:
    run = RunDir(folder)
    if not run.refit.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        configured = schedule.configure(member)
        assert configured is not None  # its folds have been fitted by it
        config = settings_of_fold(configured, None)
        write_run_config(run, config, schedule.sources)
        start_run(run, config)
        run.checkpoints.mkdir(exist_ok=True)
        refit(rows, config, run, epochs[member.name])
    return run.refit
