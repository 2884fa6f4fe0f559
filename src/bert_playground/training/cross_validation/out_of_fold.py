"""OutOfFold: what each member answered to rows that it had not seen; its file, oof.parquet."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.prepare.folds import Fold, PreparedFolds
from bert_playground.data.targets.fit import Encoder, find_units, name_answers
from bert_playground.files import write_bytes

Array = np.ndarray[Any, Any]
ROW = "row"


@dataclass(frozen=True)
class OutOfFold:
    """Answers of models to rows of folds that they did not see, in the form of the labels of the whole table.

    Attributes:
        folds: the folds and their table.
        answers: member → [P, R] or [P, R, L] of P repeats; NaN where a row is in no fold, or nobody answered.
    """

    folds: PreparedFolds
    answers: Mapping[str, Array]

    @classmethod
    def collect(
        cls, folds: PreparedFolds, answers: Mapping[str, Mapping[Fold, Array]]
    ) -> "OutOfFold":
        """Put the answers of folds together.

        Args:
            folds: the folds.
            answers: member → fold → its answers [N] or [N, L]; members without some of the folds answer for those they have.
        """
        num_repeats, num_rows = len(folds.assignments), folds.table.height
        found = {}
        for member, parts in answers.items():
            shape = next(iter(parts.values())).shape[1:]
            table = np.full((num_repeats, num_rows, *shape), np.nan)
            for fold, scores in parts.items():
                table[fold.repeat, fold.val] = scores
            found[member] = table
        return cls(folds, found)

    @cached_property
    def rows(self) -> Array:
        """The rows that every member answered, ascending."""
        answered = [
            ~np.isnan(self.means[name]).reshape(self.num_rows, -1).any(axis=1)
            for name in self.answers
        ]
        return np.flatnonzero(np.all(answered, axis=0))

    @property
    def num_rows(self) -> int:
        """R, of the table."""
        return self.folds.table.height

    @cached_property
    def means(self) -> Mapping[str, Array]:
        """Member → its answers, the mean of those of all repeats: [R] or [R, L]; NaN: none."""
        return {name: _mean_of_repeats(table) for name, table in self.answers.items()}

    def write(self, path: Path, blended: Mapping[str, Array]) -> None:
        """Write a row for each answered row and repeat: its number, id, fold, repeat, target, and the members' answers.

        A column of a binary task, or of numbers in the units of the target, is named by its member; of several classes,
        labels or steps there is one each, named MEMBER:CLASS. A name that the id or the target has gets "_oof" behind it.

        Args:
            path: the Parquet file.
            blended: further answers [R] or [R, L], the same for all repeats.
        """
        folds, parts = self.folds, []
        targets = folds.prepared.schema.targets
        theirs = {folds.prepared.schema.id_column, *targets}

        def ours(name: str) -> str:
            return f"{name}_oof" if name in theirs else name

        for repeat, numbers in enumerate(folds.assignments):
            rows = np.flatnonzero(numbers >= 0)
            columns = [pl.Series(ours(ROW), rows)]
            if folds.ids is not None:
                columns.append(folds.ids[rows])
            columns += [
                pl.Series(ours("fold"), numbers[rows]),
                pl.Series(ours("repeat"), np.full(len(rows), repeat)),
            ]
            columns += [folds.table[name][rows] for name in targets]
            for name, table in self.answers.items():
                columns += name_columns(ours(name), table[repeat][rows], folds.labels)
            for name, scores in blended.items():
                columns += name_columns(ours(name), scores[rows], folds.labels)
            parts.append(pl.DataFrame(columns))
        buffer = BytesIO()
        pl.concat(parts, how="vertical_relaxed").write_parquet(buffer)
        write_bytes(path, buffer.getvalue())


def _mean_of_repeats(table: Array) -> Array:
    is_there = ~np.isnan(table)
    total = np.where(is_there, table, 0.0).sum(axis=0)
    return np.where(is_there.any(axis=0), total / np.maximum(is_there.sum(axis=0), 1), np.nan)


def name_columns(member: str, scores: Array, labels: Encoder) -> list[pl.Series]:
    """Answers as columns, numbers in the units of the target; NaN becomes null."""
    in_units = find_units(labels)
    scores = scores if in_units is None else in_units(scores)
    if scores.ndim == 1:
        return [pl.Series(member, scores, nan_to_null=True)]
    return [
        pl.Series(f"{member}:{name}", scores[:, place], nan_to_null=True)
        for place, name in enumerate(name_answers(labels))
    ]
