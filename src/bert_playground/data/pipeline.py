"""TextPipeline: fit on train, make_loader(frame), save, load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground import kernels
from bert_playground.config.schema import DataSection
from bert_playground.data.core.columns import infer_roles
from bert_playground.data.core.horizon import HorizonEncoder
from bert_playground.data.core.labels import LabelEncoder
from bert_playground.data.core.stream import TableStream
from bert_playground.data.core.table import as_text, require_columns
from bert_playground.data.core.targets import (
    Encoder,
    encode_targets,
    fit_targets,
    read_encoder,
)
from bert_playground.data.core.token_rows import TokenizedTable
from bert_playground.data.core.windows import Windows
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.loaders.streaming import StreamingLoader, encode_stream
from bert_playground.data.row_text import RowText, fit_row_text, read_state


@dataclass(frozen=True)
class TextPipeline(RowText):
    """How a row becomes tokens and its label a number; fitted once on training rows, stored with the model.

    Attributes:
        labels: raw labels ↔ numbers.
        target: the column with the labels, or several between commas.
        id_column: the column that names the rows, or None.
        windows: how rows are cut from a table of series, or None.
    """

    labels: Encoder
    target: str
    id_column: str | None
    windows: Windows | None = None

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        options: DataSection,
        *,
        pretrained_dir: Path | None = None,
        vocab_size: int = 4096,
        test_columns: list[str] | None = None,
        windows: Windows | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn columns, template, labels and vocabulary from the training rows.

        Args:
            frame: the training rows and nothing else.
            options: target, id column and task are inferred where they are not given.
            pretrained_dir: a checkpoint folder whose tokenizer is used; None: a vocabulary is trained. If it holds a
                pipeline.json, rows are read as that model was trained to read them.
            vocab_size: most entries of a trained vocabulary.
            test_columns: of the table to predict, where it is known.
            windows: how the rows were cut from a table of series.
            seed: unused by what is fitted today; the same rows always give the same pipeline.

        Raises:
            ValueError: labels unfit for the task, no usable column, an unknown template, no tokenizer, or rows that the
                checkpoint cannot read.
        """
        del seed
        frame = as_text(frame)
        roles = infer_roles(
            frame,
            target=options.target,
            id_column=options.id_column,
            task=options.task,
            test_columns=test_columns,
        )
        text = fit_row_text(
            frame,
            options,
            skip=(*roles.targets, *roles.dropped),
            id_column=roles.id_column,
            pretrained_dir=pretrained_dir,
            vocab_size=vocab_size,
        )
        labels = fit_targets(frame, roles.target, roles.task, options.class_order)
        inferred = () if options.target and options.task else roles.statements
        statements = (*inferred, f"labels: {labels.describe()}", *text.statements)
        read = {field.name: getattr(text, field.name) for field in fields(text)}
        return cls(
            **{**read, "statements": statements},
            labels=labels,
            target=roles.target,
            id_column=roles.id_column,
            windows=windows,
        )

    @property
    def task(self) -> str:
        """A name in TASKS."""
        return self.labels.task

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns with the labels."""
        return (self.target,) if isinstance(self.labels, LabelEncoder) else self.labels.columns

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
    ) -> MLXLoader:
        """Batches of these rows, packed for the native kernels and padded for everything else."""
        return MLXLoader(
            self.tokenize(frame, cache_dir=cache_dir, split=split),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            layout="packed" if kernels.is_native() else "padded",
            pad_token_id=self.pad_token_id,
            prefetch_size=prefetch_size,
            num_workers=num_workers,
        )

    def make_streaming_loader(self, stream: TableStream, **options: Any) -> StreamingLoader:
        """Batches of rows that are read and tokenised in chunks, after a look at all their labels.

        Args:
            stream: the rows, with their labels.
            options: as for `StreamingLoader`.

        Raises:
            ValueError: labels are missing, or ones that the training rows did not have; says in which chunk.
        """
        return StreamingLoader(
            stream,
            self.tokenize,
            labels=encode_stream(stream, self.encode_labels),
            layout="packed" if kernels.is_native() else "padded",
            pad_token_id=self.pad_token_id,
            **options,
        )

    def rows_to_answer(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series | None]:
        """The rows that are asked about, and what names them: of a table of series, the latest moment of each.

        Raises:
            ValueError: the table lacks the id column, or those that windows are cut from.
        """
        name = self.id_column
        if self.windows is not None:
            frame, name = self.windows.latest(frame), self.windows.id_column
        if name is None:
            return frame, None
        require_columns(frame, [name], "the table")
        return frame, frame[name]

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
        if isinstance(self.labels, LabelEncoder | HorizonEncoder) and not self.labels.classes:
            return self.labels.in_units
        return None

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """One column of probabilities per class."""
        return self.labels.probabilities(scores)

    def to_dict(self) -> dict[str, Any]:
        """What pipeline.json holds."""
        own = {
            "target": self.target,
            "id_column": self.id_column,
            "labels": self.labels.to_dict(),
            "windows": None if self.windows is None else self.windows.to_dict(),
        }
        return super().to_dict() | own

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: the folder has no pipeline, that of a model without labels, or one that this version cannot read.
        """
        read = read_state(
            folder, target=str, id_column=_as_it_is, labels=read_encoder, windows=_read_windows
        )
        return cls(**read)


def _read_windows(state: dict[str, Any] | None) -> Windows | None:
    return None if state is None else Windows.from_dict(state)


def _as_it_is(value: Any) -> Any:
    return value
