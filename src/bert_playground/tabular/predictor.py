"""fit_tabular; TabularPredictor: a model beside the encoder that answers rows as a checkpoint does."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.blending.decision import Decision
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.inference import Predictions
from bert_playground.logger import logger
from bert_playground.tabular.estimators import ESTIMATORS, Estimator, Question, find_estimator
from bert_playground.tabular.features import Matrix, TabularFeatures
from bert_playground.tabular.folder import read_folder, write_folder
from bert_playground.tabular.outputs import Output
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]
LEAST_SECONDS = 1.0  # of fitting, however long the features took


@dataclass(frozen=True)
class TabularPredictor:
    """A model beside the encoder together with the pipeline of its rows: rows in, answers out; an `AnyPredictor`.

    Attributes:
        name: in ESTIMATORS.
        pipeline: how the rows are read; target, id column and labels.
        features: what the model sees of them.
        outputs: one for each target of a row.
        seed: that it was fitted with.
        checkpoint: the folder that it was read from or saved to; empty before.
        thresholds: decision threshold of each label of a multilabel task; None: 0.5.
        num_threads: that it may use; None: all.
    """

    name: str
    pipeline: TextPipeline
    features: TabularFeatures
    outputs: tuple[Output, ...]
    seed: int = 0
    checkpoint: Path = Path()
    thresholds: tuple[float, ...] | None = None
    num_threads: int | None = 1

    def score(
        self, rows: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Predictions:
        """Scores of a table in its order, as `head.predict` gives them, and labels where the table has the target; no loss.

        Args:
            rows: the table.
            num_variants: such a model sees cells and no text that could be written otherwise: it answers each row once.
            drift: counts how the table differs from training; from `pipeline.watch_drift`. None: nobody asks.

        Raises:
            ValueError: no rows, columns that are missing, or labels that training did not know.
        """
        if num_variants < 1:
            raise ValueError(f"num_variants is {num_variants}, expected at least 1")
        if num_variants > 1:
            logger.info(f"{self.name} reads cells, not text: it answers each row once")
        if not rows.height:
            raise ValueError("there are no rows to predict")
        rows = (drift or self.pipeline.watch_drift()).read(rows)
        has_labels = set(self.pipeline.targets) <= set(rows.columns)
        labels = self.pipeline.encode_labels(rows) if has_labels else None
        return Predictions(self.score_read(rows), labels, loss=None)

    def score_read(self, rows: pl.DataFrame) -> Array:
        """Scores of rows that are written as in training: read by `TableDrift.read` before."""
        return self._answer(self.features.transform(self.pipeline, rows))

    def _answer(self, matrix: Matrix) -> Array:
        estimator = ESTIMATORS[self.name]
        answers = [
            output.predict(estimator, matrix, self.seed, self.num_threads)
            for output in self.outputs
        ]
        task = self.pipeline.task
        if not TASKS[task].has_many_targets:
            scores = answers[0][:, 1] if task == "binary" else answers[0]
        else:
            scores = np.stack([each[:, 1] if each.ndim == 2 else each for each in answers], axis=1)
        return np.ascontiguousarray(scores, dtype=np.float32)

    def predict(
        self, frame: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Array:
        """The scores alone; the target, where a table has it, is not read."""
        unlabelled = frame.drop(self.pipeline.targets, strict=False)
        return self.score(unlabelled, num_variants=num_variants, drift=drift).scores

    def labels(self, frame: pl.DataFrame) -> pl.Series:
        """Answers as the training table writes them; see `Predictor.labels`."""
        return self.pipeline.decode(self.predict(frame))

    @property
    def decision(self) -> Decision | None:
        """None: classes are read from probabilities as usual."""
        return None

    def answers(self, scores: Array) -> pl.DataFrame:
        """Scores in the words and units of the training table; see `TextPipeline.answers`."""
        return self.pipeline.answers(scores, self.thresholds)

    def save(self, folder: Path) -> "TabularPredictor":
        """Write a folder that `bert predict` takes as a checkpoint; it appears complete or not at all.

        Returns:
            The same predictor, of that folder.
        """
        own = {
            "seed": self.seed,
            "thresholds": None if self.thresholds is None else list(self.thresholds),
        }
        write_folder(folder, self.name, self.pipeline, self.features, self.outputs, own)
        return replace(self, checkpoint=folder)

    @classmethod
    def load(cls, folder: Path, *, num_threads: int | None = None) -> "TabularPredictor":
        """Read what `save` wrote.

        Args:
            folder: holds estimator.json.
            num_threads: that it may use; None: all.

        Raises:
            FileNotFoundError: there is no such folder, or a file of it is missing.
            ValueError: a file is damaged, holds types that are not trusted, or needs a library that is not installed.
        """
        name, pipeline, features, outputs, own = read_folder(folder)
        thresholds = None if own["thresholds"] is None else tuple(map(float, own["thresholds"]))
        seed = int(own["seed"])
        return cls(name, pipeline, features, outputs, seed, folder, thresholds, num_threads)


def fit_tabular(
    name: str,
    pipeline: TextPipeline,
    train: pl.DataFrame,
    *,
    seed: int = 0,
    num_threads: int | None = 1,
    max_seconds: float | None = None,
) -> TabularPredictor:
    """Fit a model beside the encoder.

    Args:
        name: in ESTIMATORS.
        pipeline: fitted on these rows.
        train: the training rows, with their labels.
        seed: of all that is drawn.
        num_threads: that it may use; None: all.
        max_seconds: that features and all targets may take, as far as the library can stop; None: no limit.

    Raises:
        ValueError: the estimator is unknown, its library is not installed, or labels are missing.
    """
    started = time.perf_counter()
    estimator = find_estimator(name)
    if not train.height:
        raise ValueError(f"there are no rows to fit the estimator {name!r} on")
    labels = pipeline.encode_labels(train)
    features, matrix = TabularFeatures.fit(pipeline, train, estimator.layout, seed)
    columns = list(labels.T) if labels.ndim == 2 else [labels]
    each = None
    if max_seconds is not None:
        each = max(max_seconds - (time.perf_counter() - started), LEAST_SECONDS) / len(columns)
    question = Question(_count_classes(pipeline), seed, num_threads, each)
    outputs = tuple(_fit_output(estimator, matrix, column, question) for column in columns)
    return TabularPredictor(name, pipeline, features, outputs, seed, num_threads=num_threads)


def _count_classes(pipeline: TextPipeline) -> int | None:
    """Of one target: 2 of a label that is there or not; None: it is a number."""
    if not TASKS[pipeline.task].is_classification:
        return None
    return 2 if TASKS[pipeline.task].has_many_targets else len(pipeline.classes)


def _fit_output(estimator: Estimator, matrix: Matrix, targets: Array, question: Question) -> Output:
    classes: tuple[int, ...] = ()
    if question.num_classes is None:
        targets = targets.astype(np.float64)
        mean, has_one = (float(targets.mean()),), bool(np.ptp(targets) == 0)
    else:
        counts = np.bincount(targets.astype(np.int64), minlength=question.num_classes)
        found = np.flatnonzero(counts)
        mean, has_one = tuple((counts / counts.sum()).tolist()), len(found) == 1
        classes, targets = tuple(found.tolist()), np.searchsorted(found, targets)
    output = Output(question.num_classes, classes, mean)
    if estimator.layout == "nothing" or has_one or not matrix.values.shape[1]:
        return output
    asked = replace(question, num_classes=len(classes) or None)
    return replace(output, model=estimator.fit(matrix, targets, asked))
