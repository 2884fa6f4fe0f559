"""TextPipeline: fit on train, make_loader(frame), save, load."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from loguru import logger

from bert_playground import kernels
from bert_playground.config.schema import DataSection
from bert_playground.data.core.columns import infer_roles
from bert_playground.data.core.features import Feature, fit_features
from bert_playground.data.core.labels import LabelEncoder
from bert_playground.data.core.split import find_groups, make_strata, number_groups, split_rows
from bert_playground.data.core.table import as_text, read_table, require_columns
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.templates.text import (
    TEMPLATES,
    choose_template,
    known_cells,
    render_segments,
)
from bert_playground.data.tokenization import (
    TextTokenizer,
    TokenizedTable,
    encode_cached,
    train_tokenizer,
)
from bert_playground.files import write_bytes
from bert_playground.tasks import TASKS

FORMAT = 1  # of pipeline.json


class Tables(NamedTuple):
    """The training and validation rows, and what was decided on the way.

    `options` are the user's with target, id column and task filled in: what `TextPipeline.fit` takes.
    """

    train: pl.DataFrame
    val: pl.DataFrame
    options: DataSection
    statements: tuple[str, ...]


def prepare_tables(options: DataSection, seed: int) -> Tables:
    """Read the tables, decide target, id and task, and split validation rows off where none are given.

    Raises:
        FileNotFoundError: a table is not there.
        ValueError: a table is faulty, or its labels are; see `read_table` and `infer_roles`.
    """
    if options.train is None:
        raise ValueError("no training table; give one with --train data/titanic/train.csv")
    frame = read_table(options.train)
    roles = infer_roles(
        frame,
        target=options.target,
        id_column=options.id_column,
        task=options.task,
        test_columns=_read_test_columns(options.train, frame.columns),
    )
    options = options.model_copy(
        update={"target": roles.target, "id_column": roles.id_column, "task": roles.task}
    )
    frame = frame.drop(roles.dropped)
    statements = [f"{options.train}: {frame.height} rows, {frame.width} columns", *roles.statements]
    if options.val is not None:
        val = read_table(options.val)
        require_columns(val, frame.columns, f"validation table {options.val}")
        statements.append(f"validation: {val.height} rows of {options.val}")
        return Tables(frame, val.select(frame.columns), options, tuple(statements))
    train_rows, val_rows, said = split_table(frame, options, seed)
    return Tables(frame[train_rows], frame[val_rows], options, (*statements, said))


def split_table(
    frame: pl.DataFrame, options: DataSection, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Row numbers of the training and validation side, and the sentence that says how they were drawn."""
    assert options.target is not None
    assert options.task is not None
    labels = LabelEncoder.fit(frame[options.target], options.task).encode(frame[options.target])
    is_classification = TASKS[options.task].is_classification
    strata = make_strata(labels, is_classification=is_classification)
    groups, how = None, "stratified" if is_classification else "stratified by quantiles"
    if options.group_column is not None:
        require_columns(frame, [options.group_column], "the training table")
        groups = number_groups(frame[options.group_column])
        how += f", rows that share {options.group_column} on one side"
    else:
        skip = [
            name
            for name in (options.target, options.id_column, *options.drop_columns)
            if name in frame.columns
        ]
        found = find_groups(frame.drop(skip))
        if found is not None:
            groups, columns = found
            how += f", rows that share {' or '.join(columns)} on one side"
    train_rows, val_rows = split_rows(strata, groups, options.val_fraction, seed)
    said = f"validation: {len(val_rows)} of {frame.height} rows, {how} (seed {seed}); or give a table with --val"
    return train_rows, val_rows, said


def _read_test_columns(train_path: Path, columns: list[str]) -> list[str] | None:
    """The columns of a test.csv beside train.csv, if it is one of the same table."""
    path = train_path.with_name(train_path.name.replace("train", "test"))
    if path == train_path or not path.exists():
        return None
    try:
        found = read_table(path).columns
    except ValueError as error:
        logger.debug(f"{path} is not looked at: {error}")
        return None
    return found if len(set(found) & set(columns)) >= len(columns) / 2 else None


@dataclass(frozen=True)
class TextPipeline:
    """How a row becomes tokens and its label a number; fitted once on training rows, stored with the model.

    Attributes:
        features: the pieces of a row's text.
        template: a name in TEMPLATES.
        labels: raw labels ↔ numbers.
        tokenizer: with the vocabulary of the checkpoint or of the training rows.
        tokenizer_name: "scratch" or the name of the checkpoint; part of cache file names.
        statements: what was decided, in sentences.
    """

    features: tuple[Feature, ...]
    template: str
    labels: LabelEncoder
    tokenizer: TextTokenizer
    target: str
    id_column: str | None
    max_length: int
    tokenizer_name: str
    statements: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        options: DataSection,
        *,
        pretrained_dir: Path | None = None,
        vocab_size: int = 4096,
        test_columns: list[str] | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn columns, template, labels and vocabulary from the training rows.

        Args:
            frame: the training rows and nothing else.
            options: target, id column and task are inferred where they are not given.
            pretrained_dir: a checkpoint folder whose tokenizer is used; None: a vocabulary is trained.
            vocab_size: most entries of a trained vocabulary.
            test_columns: of the table to predict, where it is known.
            seed: unused by what is fitted today; the same rows always give the same pipeline.

        Raises:
            ValueError: labels unfit for the task, no usable column, an unknown template or no tokenizer.
        """
        del seed
        _set_num_workers(options.num_workers)
        frame = as_text(frame)
        roles = infer_roles(
            frame,
            target=options.target,
            id_column=options.id_column,
            task=options.task,
            test_columns=test_columns,
        )
        require_columns(frame, [*options.drop_columns, *options.text_columns], "the training table")
        features, said = fit_features(
            frame,
            skip=(roles.target, *roles.dropped, *options.drop_columns),
            text_columns=options.text_columns,
            id_column=roles.id_column,
        )
        labels = LabelEncoder.fit(frame[roles.target], roles.task)
        template = choose_template(
            options.template, features, is_pretrained=pretrained_dir is not None
        )
        tokenizer = _make_tokenizer(frame, features, template, pretrained_dir, vocab_size)
        inferred = () if options.target and options.task else roles.statements
        fitted = _state_fit(labels, template, tokenizer, pretrained_dir)
        name = "scratch" if pretrained_dir is None else pretrained_dir.name
        return cls(
            features,
            template,
            labels,
            tokenizer,
            roles.target,
            roles.id_column,
            options.max_length,
            name,
            (*inferred, *said, *fitted),
        )

    @property
    def task(self) -> str:
        """A name in TASKS."""
        return self.labels.task

    @property
    def num_labels(self) -> int:
        """Outputs of the head: 1 for binary and regression, else the number of classes."""
        return self.labels.num_labels

    @property
    def classes(self) -> tuple[Any, ...]:
        """Labels in the order of their numbers; empty for regression."""
        return self.labels.classes

    @property
    def vocab_size(self) -> int:
        """Rows that the embedding needs."""
        return self.tokenizer.vocab_size

    @property
    def pad_token_id(self) -> int:
        """Fills padded batches."""
        return self.tokenizer.pad_token_id

    def segments(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The pieces of each row's text, one column per feature.

        Raises:
            ValueError: columns that the training table had are missing.
        """
        needed = list(dict.fromkeys(feature.column for feature in self.features))
        require_columns(frame, needed, "the table")
        extra = [
            name for name in frame.columns if name not in (*needed, self.target, self.id_column)
        ]
        if extra:
            logger.debug(f"columns not used: {', '.join(extra)}")
        return render_segments(
            as_text(frame.select(needed)), self.features, TEMPLATES[self.template]
        )

    def text(self, frame: pl.DataFrame) -> pl.Series:
        """What the model reads of each row."""
        return self.segments(frame).select(text=pl.concat_str(pl.all())).to_series()

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
        segments = self.segments(frame)
        if cache_dir is None:
            table = self.tokenizer.encode_rows(segments, self.max_length)
        else:
            table = encode_cached(
                self.tokenizer,
                segments,
                self.max_length,
                cache_dir=cache_dir,
                model_name=self.tokenizer_name,
                split=split,
            )
        labels = self.labels.encode(frame[self.target]) if self.target in frame.columns else None
        return table._replace(labels=labels)

    def make_loader(
        self,
        frame: pl.DataFrame,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        prefetch_size: int = 4,
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
        )

    def decode(self, scores: np.ndarray) -> pl.Series:
        """Answers in the words of the training table; see `LabelEncoder.decode`."""
        return self.labels.decode(scores).alias(self.target)

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """One column of probabilities per class."""
        return self.labels.probabilities(scores)

    def save(self, folder: Path) -> None:
        """Write pipeline.json and tokenizer/tokenizer.json into a folder."""
        state = {
            "format": FORMAT,
            "target": self.target,
            "id_column": self.id_column,
            "template": self.template,
            "max_length": self.max_length,
            "tokenizer_name": self.tokenizer_name,
            "labels": self.labels.to_dict(),
            "features": [feature.to_dict() for feature in self.features],
            "statements": self.statements,
        }
        write_bytes(folder / "tokenizer" / "tokenizer.json", self.tokenizer.to_json().encode())
        write_bytes(
            folder / "pipeline.json", json.dumps(state, indent=2, ensure_ascii=False).encode()
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: the folder has no pipeline, or one that this version cannot read.
        """
        path = folder / "pipeline.json"
        if not path.exists():
            raise ValueError(
                f"{folder} has no pipeline.json, so it is no checkpoint of `bert train`; "
                "give a folder such as output/run_20261121_193005/checkpoints/best"
            )
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if state.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            return cls(
                features=tuple(Feature.from_dict(feature) for feature in state.pop("features")),
                labels=LabelEncoder.from_dict(state.pop("labels")),
                tokenizer=TextTokenizer.load(folder / "tokenizer"),
                statements=tuple(state.pop("statements")),
                **state,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}; train again to write a new one"
            ) from error


def _state_fit(
    labels: LabelEncoder, template: str, tokenizer: TextTokenizer, pretrained_dir: Path | None
) -> tuple[str, ...]:
    is_binned = TEMPLATES[template].binned
    binned = " (numbers in quantile bins, each known cell one token)" if is_binned else ""
    origin = "a vocabulary of the training rows" if pretrained_dir is None else pretrained_dir.name
    return (
        f"labels: {labels.describe()}",
        f"text: template {template!r}{binned}; override with --template",
        f"tokenizer: {origin}, {tokenizer.vocab_size} entries",
    )


def _make_tokenizer(
    frame: pl.DataFrame,
    features: Sequence[Feature],
    template: str,
    pretrained_dir: Path | None,
    vocab_size: int,
) -> TextTokenizer:
    if pretrained_dir is not None:
        return TextTokenizer.load(pretrained_dir)
    form = TEMPLATES[template]
    plain = TEMPLATES["key_value"] if form.binned else form
    segments = render_segments(frame, features, plain)
    texts = segments.select(pl.concat_str(pl.all())).to_series()
    return train_tokenizer(texts.to_list(), vocab_size, known_cells(features, form))


def _set_num_workers(num_workers: int | None) -> None:
    """The Rust tokenizer reads its thread count from the environment, once, at its first use."""
    if num_workers is not None:
        os.environ.setdefault("RAYON_NUM_THREADS", str(max(num_workers, 1)))
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if num_workers > 1 else "false")
