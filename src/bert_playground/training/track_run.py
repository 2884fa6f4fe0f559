"""track_run: a run folder as a run in MLflow, from its first setting to its model; track_fold: a model of a fold inside it."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from bert_playground.config.schema import RunConfig
from bert_playground.data.schema.sampling import read_frames
from bert_playground.environment import git_commit
from bert_playground.logger import logger
from bert_playground.lookup import expand_pattern
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, TRIALS, RunDir
from bert_playground.tracking import TrackedRun, choose_store, require_mlflow
from bert_playground.tracking.datasets import TrackedTable
from bert_playground.tracking.outbox import Loss
from bert_playground.tracking.store import hide_secrets, is_server, store_address
from bert_playground.tracking.tracked_run import BEST, PREFIX, RESULT, SOURCE, Beginning
from bert_playground.training.integrations import numbers_of

MODEL = "model"  # its name in MLflow
FILES = (
    "config.json", "environment.json", "summary.json", "metrics.jsonl", "train.log", "curves.png", "report.html",
    "blend.json", "ensemble.json", "folds.csv", "oof.parquet",
)  # fmt: skip
# Numbers of summary.json beside its metrics.
MEASURED = (
    "best_epoch", "best_step", "epochs", "steps", "train_rows", "val_rows", "parameters", "trained_parameters", "seconds",
    "rows_per_second", "tokens_per_second", "peak_memory_bytes",
)  # fmt: skip

_active: list[TrackedRun] = []


def active_run() -> TrackedRun | None:
    """The innermost tracked run of this process; None: there is none."""
    return _active[-1] if _active else None


@contextmanager
def track_run(
    run: RunDir,
    config: RunConfig,
    sources: Mapping[str, str] | None = None,
    command: str = "train",
    *,
    is_resumed: bool = False,
) -> Iterator[None]:
    """Inside the block the run is tracked, if it is asked for; a run that begins in another's block is shown under it.

    Whatever fails in tracking is a warning.

    Args:
        run: the folder.
        config: of the run.
        sources: for each dotted path where its value came from.
        command: of `bert` that began it.
        is_resumed: whether the folder has been worked on before.

    Raises:
        ValueError: the extra is not installed.
    """
    if not config.tracking.mlflow:
        yield
        return
    require_mlflow()
    try:
        tracked = _begin(run, config, sources or {}, command, is_resumed=is_resumed)
    except ValueError as error:
        logger.warning(f"MLflow: this run is not tracked: {error}")
        yield
        return
    _active.append(tracked)
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except Exception as error:
        first = str(error).partition("\n")[0]
        tracked.set_tags({f"{PREFIX}error": f"{type(error).__name__}: {first}"})
        raise
    finally:
        _active.remove(tracked)
        _conclude(tracked, run, config, status)


def track_tables(
    config: RunConfig,
    columns: Sequence[str],
    targets: Sequence[str],
    num_train: int,
    num_val: int | None = None,
) -> None:
    """Log which tables a tracked run reads, with digests; rows that were in memory have none.

    Args:
        config: of the run.
        columns: of the training table.
        targets: those of them that are learned.
        num_train: rows that are trained on.
        num_val: rows of the validation table, where it is a table of its own.
    """
    tracked = active_run()
    if tracked is None or not config.tracking.mlflow:
        return
    for context, given, num_rows in (
        ("training", config.data.train, num_train),
        ("validation", config.data.val, num_val),
    ):
        for path in [] if given is None else expand_pattern(given):
            table = TrackedTable(path, tuple(columns), tuple(targets), num_rows)
            tracked.log_table(table, context)


def track_fold(folder: Path, name: str, params: Mapping[str, Any]) -> None:
    """Log a model of a fold that is complete as a run inside the tracked one.

    Args:
        folder: where it lies.
        name: of the run.
        params: what is particular to it.
    """
    parent = active_run()
    if parent is None:
        return
    tags = {f"{PREFIX}run": str(folder), f"{PREFIX}kind": "fold"}
    tracked = TrackedRun(
        parent.address, Beginning(parent.beginning.experiment, name, params, tags), parent
    )
    run = RunDir(folder)
    if run.metrics.is_file():
        for line in run.metrics.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            tracked.log_metrics(numbers_of(record), record["step"])
    _log_files(tracked, run)
    _log_summary(tracked, run)
    tracked.finish()


def _begin(
    run: RunDir,
    config: RunConfig,
    sources: Mapping[str, str],
    command: str,
    *,
    is_resumed: bool,
) -> TrackedRun:
    parent = active_run()
    directory = config.tracking.directory
    address = (
        store_address(directory) if directory else choose_store(None, config.training.output_dir)
    )
    tags = {
        f"{PREFIX}run": str(run.path.resolve()),
        f"{PREFIX}kind": _kind(config, command, is_member=parent is not None),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"bert {command}",
        **{f"{SOURCE}{path}": by for path, by in sources.items() if by != "default"},
    }
    if (commit := git_commit()) is not None:
        tags["mlflow.source.git.commit"] = commit
    params = {f"{section}.{key}": value for section, group in config for key, value in group}
    beginning = Beginning(config.tracking.experiment, run.path.name, params, tags, is_resumed)
    tracked = TrackedRun(address if parent is None else parent.address, beginning, parent)
    if config.tracking.system_metrics and parent is None:
        tracked.watch_system()
    return tracked


def _kind(config: RunConfig, command: str, *, is_member: bool) -> str:
    if command != "train":
        return command
    if config.cross_validation.folds is not None:
        return "cross_validation"
    if config.ensemble.num_models > 1:
        return "ensemble"
    return "member" if is_member else "run"


def _conclude(tracked: TrackedRun, run: RunDir, config: RunConfig, status: str) -> None:
    """Whatever goes wrong here must not cost the run that is complete."""
    temporary = None
    try:
        if run.path.is_dir():
            _log_files(tracked, run)
            _log_summary(tracked, run)
            if status != "FAILED" and config.tracking.log_model and not tracked.is_nested:
                temporary = Path(tempfile.mkdtemp(prefix=".mlflow.", dir=run.path))
                _log_model(tracked, run, config, temporary)
        parts = (run.metrics, run.checkpoints, run.fold_fits, run.summary, run.path / TRIALS)
        has_begun = any(each.exists() for each in parts)
        is_kept = has_begun or bool(run.members())
        loss = tracked.finish(status, is_kept=is_kept)
        if loss is not None and is_kept:
            _tell(tracked, loss)
    except Exception as error:
        logger.warning(f"MLflow: the end of the run is not tracked: {hide_secrets(error)}")
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _log_files(tracked: TrackedRun, run: RunDir) -> None:
    for name in FILES:
        if (run.path / name).is_file():
            tracked.log_file(run.path / name)


def _log_summary(tracked: TrackedRun, run: RunDir) -> None:
    """The metrics of the best epoch, as MLflow shows the last one of a curve; what has no curve is a parameter, or the page would draw it."""
    if not run.summary.is_file():
        return
    summary = json.loads(run.summary.read_text(encoding="utf-8"))
    step = summary.get("best_step") or 0
    metrics = summary.get("metrics", {})
    numbers = {f"{name}{BEST}": value for name, value in metrics.items()}
    if not run.metrics.is_file():  # of folds or members together: there are no curves
        numbers |= metrics
    for name, values in summary.get("member_metrics", {}).items():
        numbers |= {f"member/{name}/{metric}": value for metric, value in values.items()}
    tracked.log_metrics({k: v for k, v in numbers.items() if isinstance(v, int | float)}, step)
    results = {name: summary[name] for name in MEASURED if summary.get(name) is not None}
    results |= {f"baseline_{name}": value for name, value in summary.get("baseline", {}).items()}
    tracked.log_params({f"{RESULT}{name}": value for name, value in results.items()})
    said = {
        name: summary.get(name) for name in ("monitor", "mode", "task", "target", "stop_reason")
    }
    tracked.set_tags({f"{PREFIX}{name}": str(value) for name, value in said.items() if value})


def _log_model(tracked: TrackedRun, run: RunDir, config: RunConfig, temporary: Path) -> None:
    """The model that answers for the run, as a pyfunc; what cannot be one is logged as files, and why is said."""
    is_together = any((run.path / name).is_file() for name in (BLEND_NAME, ENSEMBLE_NAME))
    kept = run.path if is_together else run.kept
    if kept is None or tracked.fault:
        return
    from bert_playground.ensemble_predictor import load_predictor
    from bert_playground.tracking.logged_model import save_pyfunc

    if (
        not (is_together or (kept / "pipeline.json").is_file())
        or tracked.beginning.tags[f"{PREFIX}kind"] == "pretrain"
    ):
        tracked.log_folder(kept, "checkpoint")
        return
    try:
        predictor = load_predictor(kept)
        rows = _raw_rows(config, predictor.pipeline.targets)
        save_pyfunc(predictor, temporary / MODEL, rows)
    except Exception as error:
        instead = "left out" if is_together else "logged as files"
        reason = hide_secrets(error)[:500]
        logger.warning(f"MLflow: the model is {instead}, as it cannot be a pyfunc: {reason}")
        if not is_together:
            tracked.log_folder(kept, "checkpoint")
        return
    summary = json.loads(run.summary.read_text(encoding="utf-8")) if run.summary.is_file() else {}
    tracked.log_model(temporary / MODEL, MODEL, summary.get("best_step") or 0)


def _raw_rows(config: RunConfig, targets: tuple[str, ...]) -> pl.DataFrame | None:
    """The first rows of the training table as they are in the file, without their answers."""
    if config.data.train is None:
        return None
    first = next(iter(read_frames(config.data.train)))
    return first.drop(targets, strict=False)


def _tell(tracked: TrackedRun, loss: Loss) -> None:
    if loss.counts:
        logger.warning(f"MLflow: not tracked: {hide_secrets(loss)}; the run folder has all of it")
    if tracked.fault or not tracked.run_id:
        return
    logger.info(
        f"tracked in MLflow, experiment {tracked.beginning.experiment!r}; to look at it: {how_to_look(tracked)}"
    )


def how_to_look(tracked: TrackedRun) -> str:
    """A command that runs, or the page of a server."""
    if is_server(tracked.address):
        place = f"#/experiments/{tracked.experiment_id}/runs/{tracked.run_id}"
        return f"{hide_secrets(tracked.address).rstrip('/')}/{place}"
    is_default = tracked.address == choose_store(None, Path("output"))
    place = hide_secrets(tracked.address).removeprefix("sqlite:///")
    return "bert mlflow ui" if is_default else f"bert mlflow ui --store {place}"
