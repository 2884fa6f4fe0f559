"""score_run: the answers of a run to rows that it was not trained on, and what else is needed to explain them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground import kernels
from bert_playground.blend_predictor import read_blend
from bert_playground.blending.stack import Stack
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import Prepared
from bert_playground.data.targets.align import align_scores
from bert_playground.data.targets.fit import Encoder, find_units, name_answers
from bert_playground.ensemble_predictor import EnsemblePredictor
from bert_playground.inference import AnyPredictor, Predictor
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import read_manifest
from bert_playground.run_record import RunRecord, read_record
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME, RunDir
from bert_playground.tabular.predictor import TabularPredictor
from bert_playground.training.report.answers import Answers
from bert_playground.training.report.oof import FoldAnswers, read_out_of_fold

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reader:
    """An encoder, and the rows that it may explain, as it was not trained on them.

    Attributes:
        load: reads it.
        rows: [K] numbers of them.
    """

    load: Callable[[], Predictor]
    rows: Array


@dataclass(frozen=True)
class Scored:
    """Rows, and what was answered to them by models that have not seen them.

    Attributes:
        source: which models and rows, in a sentence.
        frame: the R rows.
        answers: to them.
        pipeline: that reads them, and knows what training saw.
        readers: of the text; (): no encoder answers.
        again: from rows to scores, as they were answered; None: the models are not there any more.
        unseen: [K] numbers of the rows that `again` may be asked.
        folds: of the rows, and what each member answered; None: there are none.
    """

    source: str
    frame: pl.DataFrame
    answers: Answers
    pipeline: TextPipeline
    readers: tuple[Reader, ...]
    again: Callable[[pl.DataFrame], Array] | None
    unseen: Array
    folds: FoldAnswers | None = None


def score_run(record: RunRecord, prepared: Prepared) -> Scored:
    """Answer the validation rows, or read what was answered out of fold.

    Args:
        record: of the run.
        prepared: its tables; `val` are the rows to answer: all rows, where it has folds.

    Raises:
        FileNotFoundError: the run has kept no checkpoint.
        ValueError: a checkpoint is damaged.
    """
    if (record.run.path / BLEND_NAME).is_file():
        return _score_folds(record, prepared)
    if (record.run.path / ENSEMBLE_NAME).is_file():
        return _score_ensemble(record, prepared)
    return _score_single(record, prepared)


def load_as_trained(folder: Path, record: RunRecord) -> Predictor:
    """A checkpoint that computes as the validation of its run did, and whose weights take gradients."""
    model = load_model(folder)
    precision = record.summary.precision or "auto"
    model.encoder.dtype = kernels.activation_dtype(precision)
    batch_size = record.setting("training.eval_batch_size") or 128
    return Predictor(model, TextPipeline.load(folder), folder, batch_size)


def _score_single(record: RunRecord, prepared: Prepared) -> Scored:
    run = record.run
    # The refitted model has seen the validation rows.
    folders = (run.best, run.final, *reversed(run.resumable()))
    folder = next((each for each in folders if (each / "pipeline.json").is_file()), None)
    if folder is None:
        raise FileNotFoundError(
            "no checkpoint was kept, so rows cannot be answered again; leave checkpoint.enable_checkpointing on"
        )
    predictor = load_as_trained(folder, record)
    return _score_together(predictor, (predictor,), f"checkpoints/{folder.name}", prepared)


def _score_ensemble(record: RunRecord, prepared: Prepared) -> Scored:
    manifest = read_manifest(record.run.path)
    first = record.members[0] if record.members else record
    members = tuple(load_as_trained(folder, first) for folder in manifest.members)
    together = EnsemblePredictor(members, manifest.weights, record.run.path)
    return _score_together(together, members, "all members together", prepared)


def _score_together(
    predictor: AnyPredictor, encoders: Sequence[Predictor], name: str, prepared: Prepared
) -> Scored:
    found = predictor.score(prepared.val)
    assert found.labels is not None  # validation rows have the target
    pipeline, rows = predictor.pipeline, np.arange(prepared.val.height)
    decision = predictor.decision
    answers = Answers(
        pipeline.task,
        pipeline.target,
        name_answers(pipeline.labels),
        found.labels,
        found.scores,
        pipeline.in_units,
        predictor.thresholds,
        None if decision is None else decision.apply,
    )
    return Scored(
        f"{len(rows)} validation rows, answered by {name}; they also chose the best epoch",
        prepared.val,
        answers,
        pipeline,
        tuple(Reader(partial(_same, encoder), rows) for encoder in encoders),
        predictor.predict,
        rows,
    )


def _same(predictor: Predictor) -> Predictor:
    return predictor


def _score_folds(record: RunRecord, prepared: Prepared) -> Scored:
    """The blend of a run over folds, out of fold; what is explained is explained on the rows of single folds."""
    run, document = record.run, read_blend(record.run.path)
    stack = Stack.from_dict(document["stack"])
    pipeline = TextPipeline.load(run.blend_pipeline)
    found = read_out_of_fold(run.out_of_fold, pipeline.labels, pipeline.targets, stack.names)
    frame = prepared.val[found.rows]
    decision = None if stack.decision is None else stack.decision.apply
    answers = Answers(
        pipeline.task,
        pipeline.target,
        name_answers(pipeline.labels),
        found.labels,
        found.blend,
        find_units(pipeline.labels),
        decide=decision,
    )
    numbers = np.unique(found.folds)
    models = {name: run.fold_fit(0, int(numbers[0]), name) for name in stack.used}
    again = None
    if all(_model_folder(folder) is not None for folder in models.values()):
        again = _blend_of_fold(models, stack, pipeline.labels)
    return Scored(
        f"{len(found.rows)} rows, each answered by models that have not seen it; shuffled columns and gradients are "
        f"looked at in single folds, from fold {int(numbers[0])} on",
        frame,
        answers,
        pipeline,
        tuple(_readers(run, stack, found)),
        again,
        np.flatnonzero(found.folds == numbers[0]),
        found,
    )


def _readers(run: RunDir, stack: Stack, found: FoldAnswers) -> list[Reader]:
    """The encoder that counts most, of each fold."""
    weights = sorted(zip(stack.combiner.weights, stack.names, strict=True), reverse=True)
    for weight, name in weights:
        readers = []
        for number in np.unique(found.folds):
            folder = _model_folder(run.fold_fit(0, int(number), name))
            if folder is None or (folder / ESTIMATOR_NAME).is_file():
                break
            record = read_record(run.fold_fit(0, int(number), name))
            rows = np.flatnonzero(found.folds == number)
            readers.append(Reader(partial(load_as_trained, folder, record), rows))
        if weight > 0 and len(readers) == len(np.unique(found.folds)):
            return readers
    return []


def _model_folder(folder: Path) -> Path | None:
    """Of one model of one fold: what another library saved, or the checkpoint that an encoder kept."""
    return folder / "model" if (folder / "model").is_dir() else RunDir(folder).kept


def _blend_of_fold(
    folders: Mapping[str, Path], stack: Stack, labels: Encoder
) -> Callable[[pl.DataFrame], Array]:
    """What the blend says by the models of one fold alone."""
    models: dict[str, AnyPredictor] = {}

    def answer(rows: pl.DataFrame) -> Array:
        for name, folder in folders.items():
            if name not in models:
                kept = _model_folder(folder)
                assert kept is not None
                is_beside = (kept / ESTIMATOR_NAME).is_file()
                models[name] = TabularPredictor.load(kept) if is_beside else Predictor.load(kept)
        return stack.score(
            {
                name: align_scores(model.predict(rows), model.pipeline.labels, labels)
                for name, model in models.items()
            }
        )

    return answer
