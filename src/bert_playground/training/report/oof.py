"""read_out_of_fold: oof.parquet as arrays: rows, folds, labels, and what blend and members answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.targets.align import standardise
from bert_playground.data.targets.fit import Encoder, encode_targets, name_answers
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import LabelEncoder

Array = np.ndarray[Any, Any]
BLEND = "blend"


@dataclass(frozen=True)
class FoldAnswers:
    """Out-of-fold answers of N rows of the first repeat, as the models give them: numbers are standardised.

    Attributes:
        rows: [N] their numbers in the training table.
        folds: [N].
        labels: [N] or [N, L], encoded.
        blend: [N] or [N, L] of the nested blend.
        members: name → the same.
    """

    rows: Array
    folds: Array
    labels: Array
    blend: Array
    members: Mapping[str, Array]


def read_out_of_fold(
    path: Path, labels: Encoder, targets: Sequence[str], names: Sequence[str]
) -> FoldAnswers:
    """Read the answered rows of the first repeat.

    Args:
        path: of oof.parquet.
        labels: of the whole table.
        targets: the columns with the labels.
        names: of the members.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no blended answers, as there is a single fold.
    """
    frame = pl.read_parquet(path)
    frame = frame.filter(pl.col(_own(frame, "repeat")) == 0)
    found = {name: _read(frame, name, labels) for name in (BLEND, *names)}
    missing = [name for name, scores in found.items() if scores is None]
    there = {name: scores for name, scores in found.items() if scores is not None}
    if BLEND in missing:
        raise ValueError(f"{path} holds no blended answers")
    is_whole = np.all(
        [~np.isnan(each).reshape(frame.height, -1).any(axis=1) for each in there.values()], axis=0
    )
    kept = frame.filter(pl.Series(is_whole))
    there = {name: scores[is_whole] for name, scores in there.items()}
    return FoldAnswers(
        kept[_own(frame, "row")].to_numpy(),
        kept[_own(frame, "fold")].to_numpy(),
        encode_targets(labels, kept, targets),
        there.pop(BLEND),
        there,
    )


def _own(frame: pl.DataFrame, name: str) -> str:
    """The column of ours, where the table has one of that name too."""
    return f"{name}_oof" if f"{name}_oof" in frame.columns else name


def _read(frame: pl.DataFrame, name: str, labels: Encoder) -> Array | None:
    """The answers of a member, [N] or [N, L]; None: there are none."""
    name = _own(frame, name)
    many = [f"{name}:{each}" for each in name_answers(labels)]
    if many and set(many) <= set(frame.columns):
        scores = frame.select(many).cast(pl.Float64).to_numpy()
    elif name in frame.columns:
        scores = frame[name].cast(pl.Float64).to_numpy()
    else:
        return None
    if isinstance(labels, HorizonEncoder) or (
        isinstance(labels, LabelEncoder) and not labels.classes
    ):
        return standardise(scores, labels)
    return scores
