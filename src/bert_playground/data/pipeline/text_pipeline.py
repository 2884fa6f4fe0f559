"""TextPipeline: fit on train, make_loader(frame), save, load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground import kernels
from bert_playground.data.augmentation.augmentation import (
    UNCHANGED,
    Augmentation,
    RowChanger,
    change_chunks,
    change_rows,
    check_augmentation,
)
from bert_playground.data.augmentation.test_time import encode_variant
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.importance import measure_importance
from bert_playground.data.drift.profile import ColumnProfile, fit_profiles, label_profiles
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.loaders.streaming import StreamingLoader, encode_stream
from bert_playground.data.pipeline.document import check_pipeline
from bert_playground.data.reading.table import as_text, require_columns
from bert_playground.data.reading.table_stream import TableStream
from bert_playground.data.schema import Schema
from bert_playground.data.schema.derived_gain import find_gains
from bert_playground.data.schema.importance import rank_columns
from bert_playground.data.targets.fit import (
    Encoder,
    encode_targets,
    find_units,
    fit_targets,
    read_encoder,
)
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.data.targets.windows import Windows
from bert_playground.data.templates.column_order import order_columns
from bert_playground.data.templates.fit_numbers import fit_numbers
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import PIPELINE, RowText, fit_row_text, read_state
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.tasks import TASKS

AUGMENTED = "augmentation: "  # begins the statement on it


@dataclass(frozen=True)
class TextPipeline(RowText):
    """How a row becomes tokens and its label a number; fitted once on training rows, stored with the model.

    Attributes:
        labels: raw labels ↔ numbers.
        schema: what the table is: target, task, id, and how rows are cut from a table of series.
        augmentation: how training rows are changed in each epoch.
        profiles: what training saw of each column that is read; empty in folders of earlier versions.
    """

    labels: Encoder
    schema: Schema
    augmentation: Augmentation = UNCHANGED
    profiles: tuple[ColumnProfile, ...] = ()

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        schema: Schema,
        options: TextOptions | None = None,
        *,
        pretrained_dir: Path | None = None,
        vocab_size: int = 4096,
        augmentation: Augmentation | None = None,
        numbers_in_tokens: bool = True,
    ) -> Self:
        """Learn template, labels and vocabulary from the training rows; what the table is, is decided before.

        The same rows always give the same pipeline.

        Args:
            frame: the training rows and nothing else.
            schema: from `decide`.
            options: how rows shall become text; None: all defaults.
            pretrained_dir: a checkpoint folder whose tokenizer is used; None: a vocabulary is trained. If it holds a
                pipeline.json, rows are read as that model was trained to read them.
            vocab_size: most entries of a trained vocabulary.
            augmentation: how training rows are changed in each epoch; None: they are not.
            numbers_in_tokens: see `fit_numbers`.

        Raises:
            ValueError: labels unfit for the task, no usable column, an unknown template, no tokenizer, or rows that the
                checkpoint cannot read, or that cannot be changed so.
        """
        frame, options = as_text(frame), options or TextOptions()
        labels = fit_targets(frame, schema.target, schema.task, schema.class_order)
        truth = encode_targets(labels, frame, schema.targets)
        known: dict[str, Any] = {"skip": schema.left_out, "id_column": schema.id_column}
        known |= {"pretrained_dir": pretrained_dir}
        text = fit_row_text(
            frame,
            options,
            **known,
            vocab_size=vocab_size,
            wordings=augmentation.templates if augmentation else (),
            choose=partial(find_gains, labels=truth, task=labels.task),
        )
        derived, text = text.derived, text.of_training_rows
        text = order_columns(
            text,
            frame,
            lambda said: rank_columns(said, truth, labels.task),
            asked=options.column_order,
            is_settled=pretrained_dir is not None and (pretrained_dir / PIPELINE).exists(),
        )
        text = fit_numbers(text, frame, options, **known, in_tokens=numbers_in_tokens)
        statements = (f"labels: {labels.describe()}", *text.statements)
        read = {field.name: getattr(text, field.name) for field in fields(text)}
        pipeline = cls(
            **{**read, "statements": statements, "derived": derived},
            labels=labels,
            schema=schema,
        ).with_augmentation(augmentation or UNCHANGED)
        profiles = measure_importance(
            fit_profiles(frame, pipeline.columns, pipeline.all_features),
            frame,
            encode_targets(labels, frame, schema.targets),
            are_classes=TASKS[labels.task].is_classification,
        )
        return replace(pipeline, profiles=profiles)

    def with_augmentation(self, augmentation: Augmentation) -> Self:
        """The same, with training rows changed otherwise; wordings by other templates than it was fitted for need a new fit.

        Raises:
            ValueError: rows cannot be changed so.
        """
        check_augmentation(augmentation, self)
        statements = tuple(said for said in self.statements if not said.startswith(AUGMENTED))
        if augmentation.is_on:
            said = augmentation.describe()
            statements += (f"{AUGMENTED}{said}; training rows only, anew in each epoch",)
        return replace(self, augmentation=augmentation, statements=statements)

    def watch_drift(self) -> TableDrift:
        """To read a later table with: what differs from training is repaired where it has one reading, else counted."""
        return TableDrift(self.profiles, label_profiles(self.labels, self.target))

    @property
    def task(self) -> str:
        """A name in TASKS."""
        return self.labels.task

    @property
    def target(self) -> str:
        """The column with the labels, or several between commas."""
        return self.schema.target

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns with the labels."""
        return self.schema.targets

    @property
    def id_column(self) -> str | None:
        """The column that names the rows."""
        return self.schema.id_column

    @property
    def windows(self) -> Windows | None:
        """How rows are cut from a table of series."""
        return self.schema.windows

    @property
    def num_labels(self) -> int:
        """Outputs of the head: 1 for binary and regression, else the number of classes, labels or steps."""
        return self.labels.num_labels

    @property
    def classes(self) -> tuple[Any, ...]:
        """Labels in the order of their numbers; empty for regression."""
        return self.labels.classes

    def tokenize(
        self, frame: pl.DataFrame, *, cache_dir: Path | None = None, split: str = "train"
    ) -> TokenizedTable:
        """Token ids of each row, and labels where the table has the target.

        Args:
            frame: rows with at least the training table's feature columns.
            cache_dir: where ids are kept between runs; None: no cache.
            split: a word for the cache's file name.

        Raises:
            ValueError: a column is missing, or a label that training did not know.
        """
        table = self.encode(frame, cache_dir=cache_dir, split=split)
        has_labels = set(self.targets) <= set(frame.columns)
        labels = self.encode_labels(frame) if has_labels else None
        return table._replace(labels=labels, numbers=self.encode_numbers(frame))

    def tokenize_variant(self, frame: pl.DataFrame, number: int) -> TokenizedTable:
        """As `tokenize`, rows written in another way than usual; see `encode_variant`."""
        table = encode_variant(self, self.augmentation, frame, number, self.encode_numbers)
        has_labels = set(self.targets) <= set(frame.columns)
        return table._replace(labels=self.encode_labels(frame) if has_labels else None)

    def encode_labels(self, frame: pl.DataFrame) -> np.ndarray:
        """The labels of a table as numbers: [R], or [R, L] for several.

        Raises:
            ValueError: labels are missing, or ones that the training rows did not have.
        """
        return encode_targets(self.labels, frame, self.targets)

    def make_loader(
        self,
        frame: pl.DataFrame,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        prefetch_size: int = 4,
        num_workers: int = 1,
        cache_dir: Path | None = None,
        split: str = "train",
        augmented: bool = False,
        weights: np.ndarray | None = None,
        variant: int = 0,
    ) -> MLXLoader:
        """Batches of these rows, packed for the native kernels and padded for everything else.

        Args:
            frame: the rows.
            batch_size: as the options below, see `MLXLoader`.
            shuffle: for training.
            seed: of the order and of what is changed.
            prefetch_size: batches prepared ahead.
            num_workers: threads that prepare them.
            cache_dir: see `tokenize`; rows that are changed are not cached.
            split: see `tokenize`.
            augmented: for training: rows are changed in each epoch as `augmentation` says.
            weights: [R], how much each row counts in the loss; None: all the same.
            variant: 0 for rows as they are, see `encode_variant`.
        """
        augment = None
        if augmented and self.augmentation.is_on:
            labels = self.encode_labels(frame)
            augment = change_rows(self._changer(seed), frame, labels, self.task)
        table = (
            self.tokenize_variant(frame, variant)
            if variant
            else self.tokenize(frame, cache_dir=cache_dir, split=split)
        )
        return MLXLoader(
            table._replace(weights=weights),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            layout="packed" if kernels.is_native() else "padded",
            pad_token_id=self.pad_token_id,
            prefetch_size=prefetch_size,
            num_workers=num_workers,
            augment=augment,
        )

    def make_streaming_loader(
        self, stream: TableStream, *, augmented_from: pl.DataFrame | None = None, **options: Any
    ) -> StreamingLoader:
        """Batches of rows that are read and tokenised in chunks, after a look at all their labels.

        Args:
            stream: the rows, with their labels.
            augmented_from: for training: rows are changed in each epoch as `augmentation` says, cells taken from these
                training rows; None: they stay as they are.
            options: as for `StreamingLoader`.

        Raises:
            ValueError: labels are missing, or ones that the training rows did not have; says in which chunk.
        """
        augment = None
        if augmented_from is not None and self.augmentation.is_on:
            changer = self._changer(options.get("seed", 0))
            augment = change_chunks(changer, self.encode_labels, augmented_from, self.task)
        return StreamingLoader(
            stream,
            self.tokenize,
            labels=encode_stream(stream, self.encode_labels),
            layout="packed" if kernels.is_native() else "padded",
            pad_token_id=self.pad_token_id,
            augment=augment,
            **options,
        )

    def _changer(self, seed: int) -> RowChanger:
        return RowChanger.of(self, self.augmentation, seed, self.encode_numbers)

    def prediction_rows(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series | None]:
        """The rows that are asked about, and what names them: of a table of series, the latest moment of each.

        None instead of names: their numbers do, as there is no id column, or the table lacks it.

        Raises:
            ValueError: the table lacks columns that windows are cut from.
        """
        name = self.id_column
        if self.windows is not None:
            frame, name = self.windows.latest(frame), self.windows.id_column
        return frame, frame[name] if name in frame.columns else None

    def rows_with_labels(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table with the target that can be scored: of a table of series, every whole window.

        Raises:
            ValueError: target columns are missing.
        """
        if self.windows is not None and not set(self.targets) <= set(frame.columns):
            return self.windows.label(frame).frame
        require_columns(frame, list(self.targets), "the table")
        return frame

    def decode(self, scores: np.ndarray) -> pl.Series:
        """Answers in the words of the training table; see `LabelEncoder.decode`.

        Raises:
            ValueError: the task has several targets; see `answers`.
        """
        if not isinstance(self.labels, LabelEncoder):
            raise ValueError(f"a {self.task} row has several answers; use answers(scores)")
        return self.labels.decode(scores).alias(self.target)

    def answers(
        self, scores: np.ndarray, thresholds: Sequence[float] | None = None
    ) -> pl.DataFrame:
        """Answers in the words and units of the training table, one column for each target.

        A regression that knows its uncertainty has a second column, the standard deviation.

        Args:
            scores: what the head predicts.
            thresholds: multilabel: from which probability on each label is there; None: 0.5.
        """
        if not isinstance(self.labels, LabelEncoder):
            return self.labels.decode(scores, thresholds)
        answers = self.decode(scores).to_frame()
        if self.task == "regression" and scores.ndim == 2:
            deviations = self.labels.deviations_in_units(scores)
            answers = answers.with_columns(pl.Series(f"{self.target}_std", deviations))
        return answers

    @property
    def in_units(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """From standardised numbers to the units of the target; None where answers are classes."""
        return find_units(self.labels)

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """One column of probabilities per class."""
        return self.labels.probabilities(scores)

    def to_dict(self) -> dict[str, Any]:
        """What pipeline.json holds."""
        own = {
            **self.schema.to_dict(),
            "labels": self.labels.to_dict(),
            "augmentation": self.augmentation.to_dict(),
            "profiles": [profile.to_dict() for profile in self.profiles],
        }
        return super().to_dict() | own

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: the folder has no pipeline, that of a model without labels, or one that this version cannot read.
        """
        return cls(**read_state(folder, _read_own))


def _read_own(document: dict[str, Any]) -> dict[str, Any]:
    """The fields that a RowText lacks; folders of earlier versions have no augmentation or profiles."""
    check_pipeline(document)
    labels = read_encoder(document["labels"])
    targets = (document["target"],) if isinstance(labels, LabelEncoder) else labels.columns
    return {
        "labels": labels,
        "schema": Schema.from_dict(document, targets, labels.task),
        "augmentation": Augmentation.from_dict(document.get("augmentation") or {}),
        "profiles": tuple(map(ColumnProfile.from_dict, document.get("profiles") or ())),
    }
