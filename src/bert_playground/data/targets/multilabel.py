"""MultilabelEncoder, LabelListEncoder: several labels of a row, in a column each or as a list in one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.reading.table import as_text
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.data.targets.label_lists import (
    ListSpelling,
    find_separator,
    read_bare_labels,
    read_labels,
)
from bert_playground.lookup import shorten

HALF = 0.5


@dataclass(frozen=True)
class MultilabelEncoder:
    """Labels in a column each, every one with two values: [R, L] of 0 and 1.

    Attributes:
        columns: their names, which are the names of the labels.
        encoders: how each column writes yes and no.
    """

    columns: tuple[str, ...]
    encoders: tuple[LabelEncoder, ...]
    task: str = "multilabel"

    @classmethod
    def fit(cls, labels: pl.DataFrame) -> Self:
        """Learn from the label columns of the training rows.

        Raises:
            ValueError: columns with missing labels, a single value or more than two; all are listed.
        """
        encoders, faults = [], []
        for name in labels.columns:
            try:
                encoders.append(LabelEncoder.fit(labels[name], "binary"))
            except ValueError as error:
                faults.append(str(error).partition("; ")[0])
        if faults:
            raise ValueError(
                f"task multilabel needs yes and no in each column: {'; '.join(faults)}; "
                "correct these columns, or leave them out of --target"
            )
        return cls(tuple(labels.columns), tuple(encoders))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return self.columns

    @property
    def num_labels(self) -> int:
        """L."""
        return len(self.columns)

    def encode(self, labels: pl.DataFrame) -> np.ndarray:
        """[R, L] int32; ValueError on missing or unknown values."""
        columns = [
            encoder.encode(labels[name])
            for name, encoder in zip(self.columns, self.encoders, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.int32)

    def decode(self, scores: np.ndarray, thresholds: Sequence[float] | None = None) -> pl.DataFrame:
        """Each label's column in its own words, from probabilities [R, L]; thresholds: [L], None: 0.5."""
        present = decide(scores, thresholds)
        return pl.DataFrame(
            {
                name: encoder.decode(present[:, i].astype(np.float64))
                for i, (name, encoder) in enumerate(zip(self.columns, self.encoders, strict=True))
            }
        )

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """One column for each label, named by it."""
        return pl.DataFrame({name: scores[:, i] for i, name in enumerate(self.columns)})

    def describe(self) -> str:
        """One phrase."""
        return f"{len(self.columns)} labels, each there or not: {shorten(self.columns)}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `read_encoder` reads."""
        return {"form": "columns", **asdict(self)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        encoders = tuple(LabelEncoder.from_dict(encoder) for encoder in state["encoders"])
        return cls(tuple(state["columns"]), encoders)


@dataclass(frozen=True)
class LabelListEncoder:
    """A column of lists such as "red;round": [R, L] of 0 and 1.

    Attributes:
        columns: the one column.
        classes: the labels of the training rows, sorted.
        separator: between them.
        spelling: how most training rows write a list; None, in folders of earlier versions: labels and separators alone.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    separator: str
    task: str = "multilabel"
    # Members of an ensemble may have seen other spellings.
    spelling: ListSpelling | None = field(default=None, compare=False)

    @classmethod
    def fit(cls, labels: pl.DataFrame) -> Self:
        """Learn from the column of the training rows; an empty cell is a row without labels.

        Raises:
            ValueError: fewer than two different labels.
        """
        cells = as_text(labels).to_series().fill_null("")
        separator = find_separator(cells)
        known = read_labels(cells, separator).explode().drop_nulls().unique().sort().to_list()
        if len(known) < 2:
            raise ValueError(
                f"target {cells.name!r} has {len(known)} different labels, expected at least two, in one column each "
                f"(--target a,b,c) or as lists such as 'red;round'"
            )
        return cls((cells.name,), tuple(known), separator, spelling=ListSpelling.fit(cells))

    @property
    def num_labels(self) -> int:
        """L."""
        return len(self.classes)

    def encode(self, labels: pl.DataFrame) -> np.ndarray:
        """[R, L] int32; ValueError on labels that no training row has."""
        cells = as_text(labels.select(self.columns)).to_series().fill_null("")
        read = read_bare_labels if self.spelling is None else read_labels
        lists = read(cells, self.separator)
        found = set(lists.explode().drop_nulls().unique().to_list())
        if unseen := sorted(found - set(self.classes)):
            raise ValueError(
                f"target {cells.name!r} has {len(unseen)} label(s) that no training row has: {shorten(unseen)} "
                f"(known: {shorten(self.classes)}); correct them, or train on rows that have them"
            )
        present = [lists.list.contains(name).to_numpy() for name in self.classes]
        return np.stack(present, axis=1).astype(np.int32)

    def decode(self, scores: np.ndarray, thresholds: Sequence[float] | None = None) -> pl.DataFrame:
        """The column of lists as the training table writes them, from probabilities [R, L]; thresholds: [L], None: 0.5."""
        spelling = self.spelling or ListSpelling(self.separator, self.separator)
        cells = spelling.write(self.classes, decide(scores, thresholds))
        return cells.alias(self.columns[0]).to_frame()

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """One column for each label, named by it."""
        return pl.DataFrame({name: scores[:, i] for i, name in enumerate(self.classes)})

    def describe(self) -> str:
        """One phrase."""
        return f"lists of {len(self.classes)} labels between {self.separator!r}: {shorten(self.classes)}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `read_encoder` reads."""
        return {"form": "list", **asdict(self)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        spelling = state.get("spelling")
        return cls(
            tuple(state["columns"]),
            tuple(state["classes"]),
            state["separator"],
            spelling=None if spelling is None else ListSpelling(**spelling),
        )


def decide(scores: np.ndarray, thresholds: Sequence[float] | None) -> np.ndarray:
    """Which labels are present, [R, L] of booleans: from the thresholds on, or from 0.5."""
    limits = np.asarray(HALF if thresholds is None else thresholds, dtype=np.float32)
    return np.asarray(np.asarray(scores) >= limits)
