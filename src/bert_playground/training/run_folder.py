"""run_in_folder: a new run folder, or that of a run to resume with the configuration that it has stored; RunResult."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bert_playground.config.load import TYPED
from bert_playground.config.schema import RunConfig
from bert_playground.distributed.group import Group, joined_group
from bert_playground.distributed.membership import spell_command
from bert_playground.files import is_storage_error
from bert_playground.leftovers import sweep_folder
from bert_playground.logger import logger
from bert_playground.logs import log_to_file
from bert_playground.lookup import expand_home, expand_pattern
from bert_playground.mlx_threads import wait_at_exit
from bert_playground.models.sizes import fit_to_checkpoint
from bert_playground.run_lock import hold_run
from bert_playground.run_record import read_settings
from bert_playground.runs import MEMBERS, RunDir
from bert_playground.training.core.divergence import DivergenceError
from bert_playground.training.core.resume import find_resumable
from bert_playground.training.rank_folder import check_for_ranks, follow_rank, lead_ranks
from bert_playground.training.start import read_sources, write_run_config
from bert_playground.training.track_run import track_run

# What a resumed run may change without becoming another run.
CHANGEABLE = (
    "training.epochs",
    "training.max_steps",
    "training.logging_steps",
    "training.skip_nonfinite",
    "training.output_dir",
    "training.report",
    "cross_validation.jobs",
    "engine.",
    "cross_validation.time",
    "checkpoint.",
)


Result = TypeVar("Result")


@dataclass(frozen=True)
class RunResult:
    """What a run gives.

    Attributes:
        run_dir: where everything lies.
        metrics: of the best evaluation; names start with val_.
        best_checkpoint: a folder for `bert predict`, or None when none was kept.
        summary: what summary.json holds.
    """

    run_dir: RunDir
    metrics: dict[str, float]
    best_checkpoint: Path | None
    summary: dict[str, Any]


def run_in_folder(
    body: Callable[[RunDir, RunConfig, Path | None], Result],
    command: str,
    config: RunConfig,
    sources: Mapping[str, str] | None = None,
    resume: Path | None = None,
    folder: RunDir | None = None,
) -> Result:
    """Call `body(run, config, checkpoint to resume)` with a new run folder, or with that of the run to resume.

    Args:
        body: what happens in the run.
        command: of `bert`, for messages; a run is resumed by the command that began it.
        config: as for `run_training`.
        sources: as for `run_training`.
        resume: as for `run_training`.
        folder: that was chosen for the run; what was begun in it goes on. None: a new one.
    """
    wait_at_exit()
    group = joined_group()
    if not group.is_first:
        with follow_rank(group) as (run, config, checkpoint):
            return body(run, config, checkpoint)
    if folder is not None and folder.config.is_file():
        resume = folder.path
    if resume is None:
        run, checkpoint, config, sources = _start_run(command, config, sources or {}, group, folder)
    else:
        run, checkpoint = _find_run(resume)
        config = read_run_config(run, config, sources or {}, command)
        sources = read_sources(run)
    config = _with_rows_of_all(config, read_settings(run).ranks)
    lead_ranks(group, run, config, checkpoint)
    try:
        with (
            hold_run(run),
            log_to_file(run.train_log),
            _logged_errors(),
            track_run(run, config, sources, command, is_resumed=resume is not None),
        ):
            if resume is not None:
                _tidy_up(run)
            return body(run, config, checkpoint)
    except (DivergenceError, KeyboardInterrupt, OSError) as error:
        if note := _say_what_is_kept(error, run, config, command):
            error.add_note(note)
        raise
    finally:
        if resume is None:  # else it has a configuration that somebody wants to go on with
            run.discard_unused()


def _tidy_up(run: RunDir) -> None:
    """Of a run that goes on: what an earlier process left behind."""
    sweep_folder(run.path, is_ours=True)
    if _is_unstarted(run):
        logger.info(
            f"{run.path} was stopped before its first checkpoint: it starts from the beginning, with its stored configuration"
        )


def _make_folder(folder: RunDir | None, config: RunConfig) -> RunDir:
    if folder is None:
        return RunDir.create(config.training.output_dir)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def _with_rows_of_all(config: RunConfig, num_ranks: int) -> RunConfig:
    """The batch size of all ranks together, which a run keeps however many go on with it."""
    if num_ranks == 1:
        return config
    logger.debug(
        f"{num_ranks} ranks began this run, with {config.training.rows_per_batch} rows each"
    )
    return config.with_changes(
        {"training": {"batch_size": num_ranks * config.training.rows_per_batch}}
    )


def _start_run(
    command: str, config: RunConfig, sources: Mapping[str, str], group: Group, folder: RunDir | None
) -> tuple[RunDir, None, RunConfig, Mapping[str, str]]:
    """A new folder, or the one that was chosen, with the configuration in it."""
    if group.size > 1:
        check_for_ranks(config)
    config, sources = fit_to_checkpoint(config, sources)
    run = _make_folder(folder, config)
    write_run_config(run, config, sources, command, group.size)
    return run, None, config, sources


def _say_what_is_kept(
    error: BaseException, run: RunDir, config: RunConfig, command: str
) -> str | None:
    if isinstance(error, DivergenceError):
        return _name_last_good(run, config, command)
    if not _has_saved(run):
        return None
    resume = f"{spell_command(command)} --resume {run.path}"
    if isinstance(error, KeyboardInterrupt):
        return f"saved; go on with: {resume}"
    is_full = is_storage_error(error)
    return f"what is complete is kept; go on afterwards with: {resume}" if is_full else None


def _find_run(path: Path) -> tuple[RunDir, Path | None]:
    """The run that `path` means, and its checkpoint to go on from.

    None: it pretrained first, it has folds, or it was stopped before its first checkpoint and starts once more.

    Raises:
        FileNotFoundError: there is none; see `find_resumable`.
    """
    found = expand_pattern(expand_home(path))
    run = RunDir.of_checkpoint(found[-1]) if found else None
    is_several = run is not None and (run.fold_fits.is_dir() or bool(run.members()))
    if run is not None and is_several and run.config.is_file():
        return run, None
    if run is not None and run.pretrained.config.is_file() and not run.resumable():
        run.metrics.unlink(missing_ok=True)  # of steps that are taken again
        return run, None
    if run is not None and run.path == found[-1].resolve() and _is_unstarted(run):
        return run, None
    checkpoint = find_resumable(path)
    return RunDir.of_checkpoint(checkpoint), checkpoint


def is_cross_validated(path: Path) -> bool:
    """Whether the run to go on with has folds, or was stopped before it had made them."""
    run = _run_of(path)
    if run is None or run.fold_fits.is_dir():
        return run is not None
    if not _is_unstarted(run):
        return False
    stored = read_settings(run).values
    return stored.get("cross_validation", {}).get("folds") is not None


def is_ensemble(path: Path) -> bool:
    """Whether the run to go on with is an ensemble, or was stopped before it had a member."""
    run = _run_of(path)
    if run is None or not run.config.is_file():
        return False
    num_models = read_settings(run).values.get("ensemble", {}).get("num_models", 1)
    return bool(run.members()) or (num_models > 1 and not run.fold_fits.is_dir())


def _run_of(path: Path) -> RunDir | None:
    """The run to go on with, of a path or the last of a pattern; None: there is none."""
    found = expand_pattern(expand_home(path))
    return RunDir.of_checkpoint(found[-1]) if found else None


def _is_unstarted(run: RunDir) -> bool:
    """Whether a run has written down what it was asked for, and neither a checkpoint to go on from nor its end."""
    parts = (run.summary, run.fold_fits, run.pretrained.config, run.path / MEMBERS)
    return run.config.is_file() and not run.resumable() and not any(part.exists() for part in parts)


def _has_saved(run: RunDir) -> bool:
    several = (run.fold_fits, run.path / MEMBERS)
    is_begun = any(folder.is_dir() for folder in several)
    return is_begun or bool(run.resumable() or run.pretrained.resumable())


def _name_last_good(run: RunDir, config: RunConfig, command: str) -> str:
    """What is left of a run that diverged."""
    if not (saved := run.resumable()):
        return "no checkpoint had been written yet" if run.kept is None else f"kept: {run.kept}"
    skip = "" if config.training.skip_nonfinite else " --skip-nonfinite"
    return f"kept: {saved[-1]}; go on from there with: {spell_command(command)} --resume {run.path}{skip}"


@contextmanager
def _logged_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.debug(f"{type(error).__name__}: {error}")
        raise


def read_run_config(
    run: RunDir, asked: RunConfig, sources: Mapping[str, str], command: str = "train"
) -> RunConfig:
    """The configuration stored in a run folder, with the few values that a resumed run may change.

    Raises:
        ValueError: another value was asked for by a flag or --set, or another command began the run.
    """
    settings = read_settings(run)
    began = settings.command
    if began != command:
        raise ValueError(
            f"{run.path} is a run of `bert {began}`; go on with it by: bert {began} --resume {run.path}"
        )
    stored = RunConfig.model_validate(settings.values)
    flags = [path for path, source in sources.items() if source in TYPED]
    changed = {
        path: _value_at(asked, path)
        for path in flags
        if _value_at(asked, path) != _value_at(stored, path)
    }
    refused = [path for path in changed if not path.startswith(CHANGEABLE)]
    if refused:
        listed = ", ".join(
            f"{path} ({_value_at(stored, path)}, asked {changed[path]})" for path in refused
        )
        raise ValueError(
            f"a resumed run keeps its configuration, but these differ: {listed}; start a new run for them"
        )
    for path, value in changed.items():
        section, key = path.split(".")
        stored = stored.model_copy(
            update={section: getattr(stored, section).model_copy(update={key: value})}
        )
    return stored


def _value_at(config: RunConfig, path: str) -> Any:
    section, key = path.split(".")
    return getattr(getattr(config, section), key)
