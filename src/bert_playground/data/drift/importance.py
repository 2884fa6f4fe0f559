"""measure_importance: how much each profiled column, alone, tells of the target, on a sample of the training rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from bert_playground.data.drift.cells import is_missing
from bert_playground.data.drift.profile import COUNTED, ColumnProfile
from bert_playground.data.reading.table import as_text

SAMPLE_ROWS = 1_000
MAX_TARGETS = 8
NUM_BINS = 8  # of a number, a date, or a target that is one
MAX_CODES = 30  # of categories


def measure_importance(
    profiles: Sequence[ColumnProfile], frame: pl.DataFrame, labels: np.ndarray, *, are_classes: bool
) -> tuple[ColumnProfile, ...]:
    """The profiles with their importance; of free text, whose words would have to be read, there is none.

    The mean over at most MAX_TARGETS of several labels or steps.

    Args:
        profiles: fitted on the rows.
        frame: the training rows.
        labels: [R] or [R, L], encoded.
        are_classes: labels are numbers of classes, not measures.
    """
    rows = np.arange(0, frame.height, max(1, frame.height // SAMPLE_ROWS))
    targets = labels.reshape(frame.height, -1)[rows]
    chosen = np.unique(np.linspace(0, targets.shape[1] - 1, MAX_TARGETS).round().astype(np.int64))
    truths = [targets[:, place] for place in chosen]
    codes = [_rank(truth) if are_classes else _cut(truth) for truth in truths]
    sample = as_text(frame.select(profile.column for profile in profiles)[rows])
    cells = [pl.col(name) for name in sample.columns]
    sample = sample.select(
        pl.when(~is_missing(cell, also_none=False)).then(cell.str.strip_chars()) for cell in cells
    )
    return tuple(
        replace(profile, importance=_mean_association(profile, sample[profile.column], codes))
        if profile.is_numeric or profile.form in COUNTED
        else profile
        for profile in profiles
    )


def associate(codes: np.ndarray, labels: np.ndarray) -> float:
    """Cramér's V between two columns of categories, without the part that is chance: 0 to 1.

    Args:
        codes: [R] whole numbers from 0 on.
        labels: [R] likewise.

    Reference: Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T".
    """
    shape = (int(codes.max(initial=0)) + 1, int(labels.max(initial=0)) + 1)
    table = np.bincount(codes * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    rows, (height, width) = table.sum(), table.shape
    if min(height, width, rows - 1) < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / rows
    squared = ((table - expected) ** 2 / expected).sum() / rows
    by_chance = (height - 1) * (width - 1) / (rows - 1)
    smaller = min(size - (size - 1) ** 2 / (rows - 1) for size in (height, width))
    if smaller <= 1:
        return 0.0
    return float(np.sqrt(min(1.0, max(0.0, squared - by_chance) / (smaller - 1))))


def _mean_association(
    profile: ColumnProfile, column: pl.Series, labels: Sequence[np.ndarray]
) -> float:
    codes = _encode(profile, column)
    return round(float(np.mean([associate(codes, each) for each in labels])), 4)


def _encode(profile: ColumnProfile, cells: pl.Series) -> np.ndarray:
    """[R] a number for each bin or frequent value; having none is one more."""
    if profile.is_numeric:
        return _cut(profile.measure(cells).to_numpy())
    named = (
        cells if profile.form == "list" else profile.name_values(cells).set(cells.is_null(), None)
    )
    places = {
        value: place for place, (value, _) in enumerate(Counter(named).most_common(MAX_CODES))
    }
    return np.array([places.get(value, MAX_CODES) for value in named])


def _cut(numbers: np.ndarray) -> np.ndarray:
    """[R] the quantile bin of each number; those that are none have one of their own."""
    is_known = ~np.isnan(numbers)
    known = np.sort(numbers[is_known])
    edges = (
        known[np.linspace(0, len(known), NUM_BINS + 1).astype(np.int64)[1:-1] - 1]
        if len(known)
        else known
    )
    return np.where(is_known, np.searchsorted(np.unique(edges), numbers), NUM_BINS)


def _rank(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]
