"""Donors: the training rows that changed cells are taken from: of the same class, or next in rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.augmentation.counter_rng import hash_columns, normal, uniform
from bert_playground.data.columns.dictionary_encoding import dictionary_encode
from bert_playground.data.columns.kinds import clean
from bert_playground.data.columns.parsing import read_number
from bert_playground.data.templates.features import Feature
from bert_playground.tasks import TASKS

NUM_GROUPS = 10  # of a number to predict: rows of one tenth count as alike


class Ranked(NamedTuple):
    """The cells of a number's column that hold one, in the order of the numbers."""

    values: np.ndarray  # [V] ascending
    cells: pl.Series  # [V] as they are written
    spelling: str


@dataclass(frozen=True)
class Donors:
    """Training rows, ready to give cells.

    Attributes:
        frame: the rows, all cells as text.
        edges: between the groups of a number to predict; None where labels are classes.
        groups: [G] ascending, as `group_rows` gives them.
        starts: [G + 1] where each group begins in `order`.
        order: [R] row numbers sorted by group.
        ranked: the columns of numbers.
    """

    frame: pl.DataFrame
    edges: np.ndarray | None
    groups: np.ndarray
    starts: np.ndarray
    order: np.ndarray
    ranked: Mapping[str, Ranked]


def fit_donors(
    frame: pl.DataFrame, labels: np.ndarray, task: str, features: Sequence[Feature]
) -> Donors:
    """Sort training rows by class and numbers by size.

    Args:
        frame: the training rows, all cells as text.
        labels: [R] or [R, L], as numbers.
        task: a name in TASKS.
        features: tell which columns are numbers, and how they are spelled.
    """
    edges = None
    if not TASKS[task].is_classification:
        cuts = np.linspace(0, 1, NUM_GROUPS + 1)[1:-1]
        edges = np.quantile(_middle(labels), cuts)
    group = group_rows(labels, edges)
    groups, starts = np.unique(np.sort(group), return_index=True)
    spellings = {each.column: each.spelling for each in features if each.form == "number"}
    ranked = {
        name: _rank(frame[name], spelling)
        for name, spelling in spellings.items()
        if name in frame.columns
    }
    return Donors(
        frame,
        edges,
        groups,
        np.append(starts, len(group)),
        group.argsort(kind="stable"),
        {name: each for name, each in ranked.items() if len(each.values)},
    )


def group_rows(labels: np.ndarray, edges: np.ndarray | None) -> np.ndarray:
    """[R] equal for rows whose labels count as the same: the class, the set of labels, or the tenth of the numbers."""
    if edges is not None:
        return np.searchsorted(edges, _middle(labels), side="right")
    return labels.astype(np.int64) if labels.ndim == 1 else hash_columns(labels)


def swap_noise(
    frame: pl.DataFrame, labels: np.ndarray, donors: Donors, state: np.ndarray, rate: float
) -> pl.DataFrame:
    """Replace a share of the cells by that of the same column in a training row with such a label.

    Args:
        frame: [R] rows.
        labels: theirs.
        donors: where cells come from; rows with a label that none has stay as they are.
        state: [R] per-row random state, from `row_state`.
        rate: share of the cells.
    """
    group = group_rows(labels, donors.edges)
    place = np.minimum(np.searchsorted(donors.groups, group), len(donors.groups) - 1)
    has_donor = donors.groups[place] == group
    starts, sizes = donors.starts[place], np.diff(donors.starts)[place]
    changed = []
    for i, name in enumerate(frame.columns):
        is_swapped = has_donor & (uniform(state, "is swapped", i) < rate)
        drawn = (uniform(state, "donor", i) * sizes).astype(np.int64)
        given = donors.frame[name][donors.order[starts + drawn]]
        changed.append(given.zip_with(pl.Series(is_swapped), frame[name]))
    return pl.DataFrame(changed)


def jitter_numbers(
    frame: pl.DataFrame, donors: Donors, state: np.ndarray, spread: float
) -> pl.DataFrame:
    """Replace numbers by ones that the training rows have next to them.

    A number moves by a normal distance in ranks whose standard deviation is `spread` of all training rows, so that
    skewed columns move as quantile bins do, and a value on very many rows, such as 0, stays. New cells are written as
    training rows write them.
    """
    changed = [
        _jitter(frame[name], donors.ranked[name], normal(state, "jitter", i) * spread)
        if name in donors.ranked
        else frame[name]
        for i, name in enumerate(frame.columns)
    ]
    return pl.DataFrame(changed)


def drop_cells(frame: pl.DataFrame, state: np.ndarray, rate: float) -> pl.DataFrame:
    """Make a share of the cells missing."""
    nothing = pl.Series([None], dtype=pl.String)
    changed = []
    for i, name in enumerate(frame.columns):
        is_kept = pl.Series(uniform(state, "is dropped", i) >= rate)
        changed.append(frame[name].zip_with(is_kept, nothing.new_from_index(0, frame.height)))
    return pl.DataFrame(changed)


def _middle(labels: np.ndarray) -> np.ndarray:
    """[R]: a number to predict, or the mean of several."""
    return labels if labels.ndim == 1 else labels.mean(axis=1)


def _read(cells: pl.Series, spelling: str) -> np.ndarray:
    """The numbers in cells, nan where there is none."""
    cleaned = clean(cells).to_frame()
    numbers = cleaned.select(read_number(pl.col(cells.name), spelling)).to_series()
    return numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _rank(cells: pl.Series, spelling: str) -> Ranked:
    values = _read(cells, spelling)
    order = values.argsort(kind="stable")[: int((~np.isnan(values)).sum())]
    return Ranked(values[order], cells[order], spelling)


def _jitter(cells: pl.Series, ranked: Ranked, moves: np.ndarray) -> pl.Series:
    """The cells of numbers that are `moves` [R] times all ranks away; a tie stands in the middle of its ranks."""
    coded = dictionary_encode(cells)
    values = _read(coded.values, ranked.spelling)
    low, high = (np.searchsorted(ranked.values, values, side) for side in ("left", "right"))
    middle, size = ((low + high - 1) / 2)[coded.indices], len(ranked.values)
    rank = np.clip(np.rint(middle + moves * size), 0, size - 1).astype(np.int64)
    is_same = (rank >= low[coded.indices]) & (rank < high[coded.indices])
    is_moved = ~is_same & ~np.isnan(values)[coded.indices]
    moved: pl.Series = ranked.cells[rank]
    return moved.zip_with(pl.Series(is_moved), cells)
