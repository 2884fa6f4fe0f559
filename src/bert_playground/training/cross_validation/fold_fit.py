"""fit_on_fold: one model on one fold, in a folder of its own; answer_fold: its answers to the rows that it has not seen."""

import io
import json
import shutil
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from bert_playground.config.schema import RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.data.targets.align import align_scores
from bert_playground.data.targets.fit import Encoder
from bert_playground.files import is_storage_error, write_bytes
from bert_playground.inference import AnyPredictor, Predictor
from bert_playground.leftovers import name_leftover
from bert_playground.logger import logger
from bert_playground.logs import log_to_file, warnings_only
from bert_playground.runs import RunDir
from bert_playground.signals import nothing_to_save
from bert_playground.tabular.predictor import TabularPredictor, fit_tabular
from bert_playground.training.build import fit_pipeline
from bert_playground.training.core import Callback
from bert_playground.training.cross_validation.members import Member
from bert_playground.training.cross_validation.pseudo_labels import add_pseudo_labels
from bert_playground.training.run import fit
from bert_playground.training.start import start_run, write_json, write_run_config

ANSWERS, SUMMARY = "answers.parquet", "summary.json"


@dataclass(frozen=True)
class FoldFit:
    """One model to fit.

    Attributes:
        member: which model.
        repeat: of the folds, from 0 on.
        fold: that it does not see, from 0 on.
        folder: where it goes.
        config: of the model.
        prepared: the rows to fit on, and those to answer.
        sources: of the configuration's values.
        teacher: the folder of the model of the same fold whose answers to the test table are learned from too.
        num_threads: of libraries that take them.
        max_seconds: that a model beside the encoder may take, as far as its library can stop; None: no limit.
        is_first: whether it says what all folds have in common.
        callbacks: of an encoder, told after those of the configuration; a job with some stays in this process.
    """

    member: Member
    repeat: int
    fold: int
    folder: Path
    config: RunConfig
    prepared: Prepared
    sources: dict[str, str]
    teacher: Path | None = None
    num_threads: int = 1
    max_seconds: float | None = None
    is_first: bool = False
    callbacks: tuple[Callback, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether an earlier part of the run has finished it."""
        return (self.folder / SUMMARY).is_file()


@dataclass(frozen=True)
class Fitted:
    """What fitting one model gave.

    Attributes:
        seconds: that it took; 0 where it was there already.
        error: why there is no model; None: there is one.
    """

    seconds: float
    error: str | None = None


def fit_on_fold(job: FoldFit) -> Fitted:
    """Fit one model; what an earlier part of the run has finished is left as it is, what it has begun goes on.

    The folder has `summary.json` when the model is complete.

    Raises:
        KeyboardInterrupt: Ctrl-C; an encoder has saved where it was.
        OSError: the disk is full, or fails.
    """
    if job.is_done:
        return Fitted(0.0)
    started = time.perf_counter()
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        if job.teacher is not None:
            job = replace(job, prepared=add_pseudo_labels(job.prepared, job.teacher, job.config))
        with nullcontext() if job.is_first else warnings_only():
            (_fit_encoder if job.member.is_encoder else _fit_beside)(job)
    # A model that cannot be fitted here must not take the others with it; they cannot be written to a full disk either.
    except Exception as error:
        if is_storage_error(error):
            raise
        logger.debug(f"{job.folder}: {type(error).__name__}: {error}")
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return Fitted(time.perf_counter() - started, f"{kind}{error}")
    return Fitted(time.perf_counter() - started)


def _fit_encoder(job: FoldFit) -> None:
    run = RunDir(job.folder)
    resumable = run.resumable()
    checkpoint = resumable[-1] if resumable and run.config.is_file() else None
    if checkpoint is None:
        write_run_config(run, job.config, job.sources)
    with log_to_file(run.train_log):
        start_run(run, job.config)
        # A checkpoint brings its tokenizer, and a teacher more rows.
        is_shared = job.config.model.pretrained is None and job.member.teacher is None
        pipeline = (
            share_pipeline(job.folder.parent / "pipeline", job.prepared, job.config)
            if is_shared and checkpoint is None
            else None
        )
        fit(
            job.prepared,
            job.config,
            run,
            checkpoint,
            pipeline=pipeline,
            speaks=job.is_first,
            callbacks=job.callbacks,
        )


def _fit_beside(job: FoldFit) -> None:
    pipeline = share_pipeline(job.folder.parent / "pipeline", job.prepared, job.config)
    started = time.perf_counter()
    with nothing_to_save():
        predictor = fit_tabular(
            job.member.name,
            pipeline,
            job.prepared.train,
            seed=job.config.training.seed,
            num_threads=job.num_threads,
            max_seconds=job.max_seconds,
        )
    predictor.save(job.folder / "model")
    write_json(job.folder / SUMMARY, {"seconds": time.perf_counter() - started})


def share_pipeline(folder: Path, prepared: Prepared, config: RunConfig) -> TextPipeline:
    """How the training rows are read without a checkpoint, whose tokenizer is nothing to a model that reads columns.

    The first model that asks leaves it in the folder for the others, in whatever process.
    """
    if not folder.is_dir():
        pipeline = fit_pipeline(prepared, config.with_changes({"model": {"pretrained": None}}))
        own = name_leftover(folder, "partial")
        try:
            own.mkdir(parents=True)
            pipeline.save(own)
            own.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker, with the same
                raise
        finally:
            shutil.rmtree(own, ignore_errors=True)
    return TextPipeline.load(folder)


def load_fold_model(folder: Path, epoch: int | None) -> AnyPredictor:
    """The model of one fold.

    Args:
        folder: of a `FoldFit`.
        epoch: of an encoder; None: the one that was kept, or no encoder.
    """
    if (folder / "model").is_dir():
        return TabularPredictor.load(folder / "model")
    run = RunDir(folder)
    kept = run.at_epoch(epoch) if epoch is not None else run.kept
    assert kept is not None
    return Predictor.load(kept)


def answer_fold(predictor: AnyPredictor, rows: pl.DataFrame, labels: Encoder) -> np.ndarray:
    """What a model answers to the rows of its fold, in the form of the labels of the whole table."""
    return align_scores(predictor.predict(rows), predictor.pipeline.labels, labels)


def write_answers(folder: Path, answers: np.ndarray) -> None:
    """Keep the answers of a fold, so that a run that goes on need not ask again."""
    buffer = io.BytesIO()  # polars makes another error of what the disk refuses
    pl.DataFrame({"answer": answers}).write_parquet(buffer)
    write_bytes(folder / ANSWERS, buffer.getvalue())


def read_answers(folder: Path) -> np.ndarray | None:
    """What `write_answers` wrote; None: nothing yet."""
    path = folder / ANSWERS
    return pl.read_parquet(path)["answer"].to_numpy() if path.is_file() else None


def read_curve(folder: Path) -> tuple[list[float], str]:
    """The monitored value after each epoch of a fold's encoder, and whether "min" or "max" of it is better."""
    run = RunDir(folder)
    summary = json.loads(run.summary.read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    values = [row[summary["monitor"]] for row in rows if row["kind"] == "evaluation"]
    return values, summary["mode"]
