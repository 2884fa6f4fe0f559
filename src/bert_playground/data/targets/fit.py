"""fit_targets: which columns a target names, and the encoder of their labels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.reading.table import match_column, require_columns
from bert_playground.data.targets.forecast import HorizonEncoder
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.data.targets.multilabel import LabelListEncoder, MultilabelEncoder
from bert_playground.documents import check, make_document, schema_of
from bert_playground.lookup import look_up
from bert_playground.tasks import TASKS

Encoder = LabelEncoder | MultilabelEncoder | LabelListEncoder | HorizonEncoder
FORMS: dict[str, Any] = {
    "columns": MultilabelEncoder,
    "list": LabelListEncoder,
    "steps": HorizonEncoder,
}
FORM = make_document("Form", {"form": (str, "")})
# What pipeline.json must have of each.
NEEDED: dict[Any, tuple[str, ...]] = {
    LabelEncoder: ("task", "dtype", "classes"),
    MultilabelEncoder: ("columns", "encoders"),
    LabelListEncoder: ("columns", "classes", "separator"),
    HorizonEncoder: ("columns", "means", "scales"),
}


def split_target(target: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that a target names: one, or several between commas where no column has the whole name."""
    whole = match_column(target, columns)
    if whole in columns:
        return (whole,)
    names = (match_column(name, columns) for name in target.split(",") if name.strip())
    return tuple(names) or (target,)


def fit_targets(
    frame: pl.DataFrame, target: str, task: str, order: Sequence[str] | None = None
) -> Encoder:
    """Learn from the target columns of the training rows.

    Args:
        frame: has them.
        target: one column, or several between commas.
        task: a name in TASKS.
        order: of ordinal classes, lowest first.

    Raises:
        ValueError: columns are not there, several for a task of one, or labels unfit for the task.
    """
    names = split_target(target, frame.columns)
    require_columns(frame, list(names), "the training table")
    if order is not None and task != "ordinal":
        raise ValueError(f"a class order belongs to task ordinal, but this one is {task}")
    if task == "timeseries":
        return HorizonEncoder.fit(frame.select(names))
    if task == "multilabel":
        encoder = LabelListEncoder if len(names) == 1 else MultilabelEncoder
        return encoder.fit(frame.select(names))
    if len(names) > 1:
        several = ", ".join(name for name, known in TASKS.items() if known.has_many_targets)
        raise ValueError(
            f"task {task} has one target column, but --target names {len(names)}: {', '.join(names)}; "
            f"give one of them, or --task {several.replace(', ', ' or ')}"
        )
    return LabelEncoder.fit(frame[names[0]], task, order)


def encode_targets(encoder: Encoder, frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """The labels of a table as numbers, [R] or [R, L]."""
    if isinstance(encoder, LabelEncoder):
        return encoder.encode(frame[names[0]])
    return encoder.encode(frame.select(names))


def find_units(encoder: Encoder) -> Callable[[np.ndarray], np.ndarray] | None:
    """From standardised numbers to the units of the target; None where answers are classes."""
    if isinstance(encoder, LabelEncoder | HorizonEncoder) and not encoder.classes:
        return encoder.in_units
    return None


def name_answers(encoder: Encoder) -> tuple[str, ...]:
    """The columns of scores [R, L]: classes, labels or steps; empty where a row has one number."""
    names = encoder.columns if isinstance(encoder, HorizonEncoder) else encoder.classes
    return tuple(map(str, names))


def read_encoder(state: Mapping[str, Any]) -> Encoder:
    """Read what any encoder's `to_dict` gave."""
    check(FORM, state, "labels")
    kind: Any = (
        LabelEncoder if "form" not in state else look_up(FORMS, state["form"], "form of labels")
    )
    check(schema_of(kind, needed=NEEDED[kind], nullable=False), state, "labels")
    encoder: Encoder = kind.from_dict(dict(state))
    return encoder
