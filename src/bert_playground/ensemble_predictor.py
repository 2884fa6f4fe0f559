"""load_predictor: a checkpoint that answers rows, or several that answer together; how far they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.blending.decision import Decision
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.inference import AnyPredictor, Array, Predictions, Predictor
from bert_playground.models.ensemble import average_answers, read_manifest
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME, find_checkpoint
from bert_playground.tabular.predictor import TabularPredictor


@dataclass(frozen=True)
class EnsemblePredictor:
    """Several checkpoints that answer the same question; each reads the rows as it was trained to.

    Attributes:
        members: as `Predictor.load` gives them.
        weights: how much each counts; they sum to 1.
        checkpoint: the folder with ensemble.json.
    """

    members: tuple[Predictor, ...]
    weights: tuple[float, ...]
    checkpoint: Path

    @classmethod
    def load(
        cls, checkpoint: Path, *, batch_size: int = 128, precision: str = "auto"
    ) -> "EnsemblePredictor":
        """Read an ensemble folder; see `Predictor.load`.

        Raises:
            FileNotFoundError: no ensemble there, or a member is missing.
            ValueError: the members answer different questions.
        """
        manifest = read_manifest(checkpoint)
        members = tuple(
            Predictor.load(folder, batch_size=batch_size, precision=precision)
            for folder in manifest.members
        )
        first = members[0].pipeline
        strange = [
            str(member.checkpoint)
            for member in members
            if (member.pipeline.targets, member.pipeline.labels) != (first.targets, first.labels)
        ]
        if strange:
            raise ValueError(
                f"{', '.join(strange)} answers another question than {members[0].checkpoint}: their targets or labels "
                "differ; an ensemble needs members of one training table"
            )
        return cls(members, manifest.weights, checkpoint)

    @property
    def pipeline(self) -> TextPipeline:
        """The first member's: target, id column and labels are the same for all."""
        return self.members[0].pipeline

    def score(
        self, rows: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Predictions:
        """Averaged scores in table order, and labels when the table has the target column; there is no loss.

        Args:
            rows: the table.
            num_variants: of each row, that every member answers; see `Predictor.score`.
            drift: counts how the table differs from what the first member was trained on.
        """
        answers = [
            member.score(rows, num_variants=num_variants, drift=None if place else drift)
            for place, member in enumerate(self.members)
        ]
        return self.combine(answers)

    def combine(self, answers: Sequence[Predictions]) -> Predictions:
        """Average what the members answered."""
        head_type = self.members[0].model.head.head_type
        arrays = [mx.array(answer.scores) for answer in answers]
        scores = np.array(average_answers(arrays, self.weights, head_type))
        return Predictions(scores, answers[0].labels, loss=None)

    def predict(
        self, frame: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Array:
        """What `Predictor.predict` gives, averaged."""
        unlabelled = frame.drop(self.pipeline.targets, strict=False)
        return self.score(unlabelled, num_variants=num_variants, drift=drift).scores

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The mean of the members' thresholds for each label; None unless all have learned some."""
        found = [member.thresholds for member in self.members]
        if any(thresholds is None for thresholds in found):
            return None
        return tuple(np.average(np.array(found), axis=0, weights=self.weights).tolist())

    @property
    def decision(self) -> Decision | None:
        """None: classes are read from probabilities as usual."""
        return None

    def labels(self, frame: pl.DataFrame) -> pl.Series:
        """Answers as the training table writes them; see `Predictor.labels`."""
        return self.pipeline.decode(self.predict(frame))

    def answers(self, scores: Array) -> pl.DataFrame:
        """Scores in the words and units of the training table; see `Predictor.answers`."""
        return self.pipeline.answers(scores, self.thresholds)


def load_predictor(
    checkpoint: Path | str, *, batch_size: int = 128, precision: str = "auto"
) -> AnyPredictor:
    """Read a checkpoint, a run folder, an ensemble folder or a model beside the encoder; see `Predictor.load`."""
    folder = find_checkpoint(checkpoint)
    if (folder / ESTIMATOR_NAME).is_file():
        return TabularPredictor.load(folder)
    if (folder / BLEND_NAME).is_file():
        return BlendPredictor.load(folder, batch_size=batch_size, precision=precision)
    kind = EnsemblePredictor if (folder / ENSEMBLE_NAME).is_file() else Predictor
    return kind.load(folder, batch_size=batch_size, precision=precision)


def disagreement_rate(answers: Sequence[Any]) -> float:
    """How often two members give a row different labels: the mean over rows and pairs.

    Args:
        answers: per member the labels [N] of the same rows.

    Reference: Kuncheva and Whitaker 2003, Measures of diversity in classifier ensembles.
    """
    pairs = combinations([np.asarray(answer) for answer in answers], 2)
    return float(np.mean([np.mean(first != second) for first, second in pairs]))


def error_correlation(errors: Sequence[Array]) -> float | None:
    """The mean correlation of two members' errors; 1: averaging them gains nothing. None where errors do not vary.

    Args:
        errors: per member prediction - truth [N] of the same rows.
    """
    if any(np.ptp(error) == 0 for error in errors):
        return None
    pairs = combinations(errors, 2)
    return float(np.mean([np.corrcoef(first, second)[0, 1] for first, second in pairs]))
