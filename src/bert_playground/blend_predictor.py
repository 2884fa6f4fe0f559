"""BlendPredictor: models of all folds that answer together, by the weights and decisions that were fitted out of fold."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.blending.decision import Decision
from bert_playground.blending.stack import Stack
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.targets.align import align_scores
from bert_playground.data.targets.fit import Encoder
from bert_playground.documents import read_json
from bert_playground.files import write_text
from bert_playground.inference import AnyPredictor, Array, Predictions, Predictor
from bert_playground.models.ensemble import resolve_inside
from bert_playground.runs import BLEND_NAME, ESTIMATOR_NAME
from bert_playground.tabular.predictor import TabularPredictor

FORMAT = 1  # of blend.json
PIPELINE = "pipeline"  # the folder beside it


@dataclass(frozen=True)
class BlendPredictor:
    """Several members, each the mean of its models of all folds; their answers are combined as out of fold.

    Attributes:
        members: name → its models.
        stack: how answers become one, and classes are decided.
        pipeline: target, id column, labels, and what training saw of the columns.
        checkpoint: the folder with blend.json.
    """

    members: Mapping[str, tuple[AnyPredictor, ...]]
    stack: Stack
    pipeline: TextPipeline
    checkpoint: Path

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        *,
        batch_size: int = 128,
        precision: str = "auto",
        load: Callable[[Path], AnyPredictor] | None = None,
    ) -> "BlendPredictor":
        """Read a folder that `bert train --folds` wrote; see `Predictor.load`.

        Args:
            checkpoint: the folder.
            batch_size: rows per pass of an encoder.
            precision: of an encoder.
            load: reads one model of one fold, for another engine than MLX; the other two are its own then.

        Raises:
            FileNotFoundError: no blend there, or a model is missing.
            ValueError: blend.json was changed, or a model is damaged.
        """
        document = read_blend(checkpoint)
        load = load or partial(load_single, batch_size=batch_size, precision=precision)
        members = {
            name: tuple(load(checkpoint / folder) for folder in folders)
            for name, folders in document["members"].items()
        }
        pipeline = TextPipeline.load(checkpoint / PIPELINE)
        return cls(members, Stack.from_dict(document["stack"]), pipeline, checkpoint)

    def score(
        self, rows: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Predictions:
        """Blended scores in table order, and labels when the table has the target column; there is no loss.

        Args:
            rows: the table.
            num_variants: of each row, that every encoder answers; models beside it answer once.
            drift: counts how the table differs from what training saw.
        """
        rows = (drift or self.pipeline.watch_drift()).read(rows)
        unlabelled = rows.drop(self.pipeline.targets, strict=False)
        answers = {
            name: self.member_scores(name, unlabelled, num_variants=num_variants)
            for name in self.members
        }
        has_labels = set(self.pipeline.targets) <= set(rows.columns)
        labels = self.pipeline.encode_labels(rows) if has_labels else None
        return Predictions(self.stack.score(answers), labels, loss=None)

    def member_scores(self, name: str, rows: pl.DataFrame, *, num_variants: int = 1) -> Array:
        """What one member answers, the mean of its models, in the form of the blend's scores."""
        return self.join_models(
            name,
            [
                model.predict(
                    rows, num_variants=1 if isinstance(model, TabularPredictor) else num_variants
                )
                for model in self.members[name]
            ],
        )

    def join_models(self, name: str, scores: Sequence[Array]) -> Array:
        """The mean of what the models of one member answered, in the form of the blend's scores."""
        aligned = [
            align_scores(each, model.pipeline.labels, self.pipeline.labels)
            for each, model in zip(scores, self.members[name], strict=True)
        ]
        return np.asarray(np.mean(aligned, axis=0))

    def predict(
        self, frame: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Array:
        """The blended scores alone; the target, where a table has it, is not read."""
        unlabelled = frame.drop(self.pipeline.targets, strict=False)
        return self.score(unlabelled, num_variants=num_variants, drift=drift).scores

    @property
    def thresholds(self) -> None:
        """Decisions are those of the stack."""
        return

    @property
    def decision(self) -> Decision | None:
        """How scores are read as classes; None: as usual."""
        return self.stack.decision

    def decide(self, scores: Array) -> Array:
        """The scores with the classes that were decided for the metric: 0 and 1, in the same shape."""
        return self.stack.decide(scores)

    def answers(self, scores: Array) -> pl.DataFrame:
        """Scores in the words and units of the training table; see `Predictor.answers`."""
        return self.pipeline.answers(self.stack.decide(scores))

    def labels(self, frame: pl.DataFrame) -> pl.Series:
        """Answers as the training table writes them; see `Predictor.labels`."""
        return self.pipeline.decode(self.stack.decide(self.predict(frame)))


def load_single(
    folder: Path, *, batch_size: int = 128, precision: str = "auto"
) -> Predictor | TabularPredictor:
    """One model of one fold: an encoder's checkpoint, or what `TabularPredictor.save` wrote."""
    if (folder / ESTIMATOR_NAME).is_file():
        return TabularPredictor.load(folder)
    return Predictor.load(folder, batch_size=batch_size, precision=precision)


def write_blend(
    folder: Path,
    members: Mapping[str, Sequence[Path]],
    stack: Stack,
    pipeline: TextPipeline,
    labels: Encoder,
) -> None:
    """Write blend.json and the pipeline beside it; it is complete or not there at all.

    Args:
        folder: the run; the models lie inside it.
        members: name → folders of its models.
        stack: fitted on the out-of-fold answers; members that it does not use need not be there.
        pipeline: of one of the models.
        labels: learned from all rows.
    """
    target = folder / PIPELINE
    target.mkdir(exist_ok=True)
    replace(pipeline, labels=labels).save(target)
    document = {
        "format": FORMAT,
        "members": {
            name: [each.relative_to(folder).as_posix() for each in folders]
            for name, folders in members.items()
        },
        "stack": stack.to_dict(),
    }
    write_text(folder / BLEND_NAME, json.dumps(document, indent=2) + "\n")


def read_blend(folder: Path) -> dict[str, Any]:
    """Read blend.json.

    Raises:
        FileNotFoundError: there is none, or models are missing.
        ValueError: it is damaged.
    """
    path = folder / BLEND_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {BLEND_NAME}, so it is no blend; make one with `bert train --folds 5`"
        )
    document: dict[str, Any] = read_json(path)
    members, stack = document.get("members"), document.get("stack")
    is_whole = (
        document.get("format") == FORMAT
        and isinstance(stack, dict)
        and isinstance(members, dict)
        and members
        and all(
            isinstance(folders, list) and folders and all(isinstance(each, str) for each in folders)
            for folders in members.values()
        )
    )
    if not is_whole:
        raise ValueError(
            f"{path} is no blend in format {FORMAT}: it was changed, or comes of another version; copy the folder again, or "
            "train again"
        )
    resolve_inside(
        folder, [name for folders in document["members"].values() for name in folders], BLEND_NAME
    )
    return document
