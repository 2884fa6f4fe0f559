"""find_leakage: columns that give the target, or one class of it, away: how well each alone answers held-out rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import clean, infer_all
from bert_playground.data.columns.wide import chunks, read_numbers, stack_columns
from bert_playground.data.schema.column_probe import (
    GIVES_AWAY,
    MIN_ROWS,
    NAMES,
    SCORED_AS,
    ColumnProbe,
)
from bert_playground.data.targets.fit import Encoder, encode_targets, split_target
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.tasks import TASKS

MAX_ROWS = 20_000  # of all targets together, but MIN_SAMPLE of each
MIN_SAMPLE = 4_000
MAX_TARGETS = 20
MIN_SHARE = 0.05  # of a number that stands on many rows, to ask which rows have it
# An id should say nothing; a clear surplus means that rows are numbered in an order that knows the target.
ID_SURPLUS = 0.1


def find_leakage(
    frame: pl.DataFrame, labels: Encoder, target: str, id_column: str | None, seed: int = 0
) -> list[str]:
    """Sentences about columns that tell the target too well, the id among them.

    Each column alone is fitted to the target by a small decision tree (categories by their mean target), and scored on
    the rows of the fold it did not see. Of several targets each is looked at, at most MAX_TARGETS of them; of several
    classes, each against the rest as well, and of numbers one that stands on many rows.

    Args:
        frame: the training rows, all cells as text.
        labels: fitted on them.
        target: its column, or several between commas.
        id_column: or None.
        seed: which rows are drawn of a large table, and the folds.
    """
    columns = split_target(target, frame.columns)
    names = (
        columns
        if len(columns) > 1
        else (labels.classes if labels.task == "multilabel" else columns)
    )
    names = tuple(map(str, names[:MAX_TARGETS]))
    num_rows = max(MIN_SAMPLE, MAX_ROWS // len(names))
    if frame.height > num_rows:
        frame = frame.sample(num_rows, seed=seed)
    truths = encode_targets(labels, frame, columns).reshape(frame.height, -1)
    task = SCORED_AS.get(labels.task, labels.task)
    kind = np.int64 if TASKS[task].is_classification else np.float64
    probes = {
        name: ColumnProbe(truths[:, i].astype(kind), task, seed) for i, name in enumerate(names)
    }
    against = _find_classes(labels, truths[:, 0], frame[columns[0]], seed)
    found = []
    features = _find_suspects(frame.drop(columns), [*probes.values()], against, id_column)
    others = [name for name in features.columns if name != id_column]  # the id's own score is told
    by_number = _score_numbers(features.select(others), probes)
    for column in features.iter_columns():
        scores = by_number.get(column.name) or {
            name: probe.score(column) for name, probe in probes.items()
        }
        name = max(scores, key=lambda each: scores[each] - probes[each].constant)
        score, blind = scores[name], probes[name].constant
        measured = f"{NAMES[task]} {score:.3f}"
        if column.name == id_column:
            if score >= blind + ID_SURPLUS:
                found.append(
                    f"{column.name} tells something of {name} ({measured}), though it is no feature: rows are numbered in an "
                    "order that knows it, so keep it out of the text; random validation rows may flatter every model"
                )
        elif score >= GIVES_AWAY[task] > blind:
            found.append(
                f"{column.name} alone answers {name} ({measured}): is it known beforehand? else leave it out with "
                "data.drop_columns"
            )
        elif against is not None:
            found += _describe_classes(column, against, names[0])
    return found


def _find_suspects(
    frame: pl.DataFrame,
    probes: Sequence[ColumnProbe],
    against: "ClassProbe | None",
    id_column: str | None,
) -> pl.DataFrame:
    """The columns whose different cells could give something away; trees need not be asked of the others."""
    suspects = _could_tell(frame, frame.columns, probes, against, id_column)
    words = [name for name in suspects if name != id_column]
    asked = [*probes, *([] if against is None else [against.probe])]
    # A column may be of numbers on some of the rows, and these are all that some probes read.
    parts = [frame[probe.kept] for probe in asked if len(probe.kept) < frame.height]
    for part in (frame, *parts):
        kinds = infer_all(part, words)
        words = [name for name in words if kinds[name].name != "number"]
    silent = {*words} - {*_could_tell(frame, words, probes, against, None, are_words=True)}
    return frame.select(name for name in suspects if name not in silent)


def _could_tell(
    frame: pl.DataFrame,
    columns: Sequence[str],
    probes: Sequence[ColumnProbe],
    against: "ClassProbe | None",
    id_column: str | None,
    *,
    are_words: bool = False,
) -> list[str]:
    """The columns that could give something away by which rows share a cell, and the id; see `ColumnProbe.limits`."""
    found = []
    for names in chunks(columns, frame.height):
        cells = stack_columns(frame, names)
        cells = clean(cells) if are_words else cells
        codes = cells.rank("dense").fill_null(0).cast(pl.Int64).to_numpy().reshape(len(names), -1)
        could = np.array([name == id_column for name in names])
        for probe in probes:
            could |= probe.limits(codes, are_words=are_words) >= GIVES_AWAY[probe.task]
        if against is not None:
            limits = against.probe.limits_of_classes(codes, are_words=are_words)
            could |= limits >= GIVES_AWAY["binary"]
        found += [name for name, is_telling in zip(names, could, strict=True) if is_telling]
    return found


def _score_numbers(
    frame: pl.DataFrame, probes: Mapping[str, ColumnProbe]
) -> dict[str, dict[str, float]]:
    """Column → target → score, of all columns of numbers."""
    kinds = infer_all(frame)
    spellings = {name: kind.spelling for name, kind in kinds.items() if kind.name == "number"}
    if not spellings:
        return {}
    numbers = read_numbers(frame, spellings)
    values = np.stack([numbers[name] for name in spellings])
    scores = {
        name: probe.score_numbers(values, GIVES_AWAY[probe.task]) for name, probe in probes.items()
    }
    return {
        column: {name: float(scores[name][place]) for name in probes}
        for place, column in enumerate(spellings)
    }


class ClassProbe(NamedTuple):
    """Classes that are asked for one against the rest: all of a target, or the value that many numbers have."""

    probe: ColumnProbe
    names: dict[int, str]


def _find_classes(
    labels: Encoder, truth: np.ndarray, cells: pl.Series, seed: int
) -> ClassProbe | None:
    """What else is asked of columns than the target as a whole; None: nothing, as it is of two classes or of several columns."""
    if labels.task in ("multiclass", "ordinal") and isinstance(labels, LabelEncoder):
        probe = ColumnProbe(truth.astype(np.int64), "multiclass", seed)
        return ClassProbe(probe, {i: str(name) for i, name in enumerate(labels.classes)})
    if labels.task == "regression" and isinstance(labels, LabelEncoder):
        values, counts = np.unique(truth, return_counts=True)
        value, count = values[counts.argmax()], counts.max()
        if MIN_SHARE <= count / len(truth) <= 1 - MIN_SHARE and count >= MIN_ROWS:
            probe = ColumnProbe((truth == value).astype(np.int64), "binary", seed)
            return ClassProbe(probe, {1: str(cells[int((truth == value).argmax())])})
    return None


def _describe_classes(column: pl.Series, against: ClassProbe, target: str) -> list[str]:
    """Which classes a column tells from all others, by its values or by having none."""
    scores = against.probe.score_classes(column)
    told = [
        (against.names[label], score)
        for label, score in scores.items()
        if label in against.names and score >= GIVES_AWAY["binary"]
    ]
    if not told:
        return []
    by_absence = against.probe.score_absence(column)
    is_absence = any(by_absence.get(label, 0) >= GIVES_AWAY["binary"] for label in scores)
    how = ", by whether it is missing" if is_absence else ""
    listed = ", ".join(f"{name} (ROC-AUC {score:.3f})" for name, score in told)
    return [
        f"{column.name} alone tells {target} {listed} from the rest{how}: is it known beforehand? else leave it out with "
        "data.drop_columns"
    ]
