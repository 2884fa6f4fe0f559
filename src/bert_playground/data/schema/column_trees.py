"""answer_held_out: for each of many numeric columns a small decision tree on it alone, and what it answers for held-out rows.

The trees are those of scikit-learn's `DecisionTreeClassifier` and `DecisionTreeRegressor` on one column, missing values
included, grown for all columns at once: on a wide table calling the library for each column takes a hundred times longer.
Letters: C columns, M training rows, K values to predict of each (probabilities of classes, or one number).
"""

from dataclasses import dataclass

import numpy as np

MAX_DEPTH = 8
MAX_CELLS = 2_000_000  # C * M * K that are looked at in one go
SMALLEST_STEP = 1e-7  # between values that a threshold may stand between, in f32
PURE = 1e-15
RIGHT, LEFT, APART = 0, 1, 2  # where rows without a value go

Array = np.ndarray


def answer_held_out(
    values: Array, truth: Array, splits: list[tuple[Array, Array]], min_leaf: int
) -> Array:
    """Answers [C, R, K] to rows, each by a tree that did not see it.

    Args:
        values: [C, R], NaN where a cell has no value.
        truth: [R, K] what is to be predicted: classes as columns of 0 and 1, or a number.
        splits: row numbers to fit on, and to answer.
        min_leaf: rows that a leaf has at least.
    """
    answers = np.empty((len(values), *truth.shape))
    at_once = max(1, MAX_CELLS // max(1, truth.size))
    for first in range(0, len(values), at_once):
        part = values[first : first + at_once].astype(np.float32)
        for train, held_out in splits:
            trees = _Trees(part[:, train], truth[train], min_leaf)
            trees.grow()
            answers[first : first + at_once, held_out] = trees.answer(part[:, held_out])
    return answers


@dataclass
class _Nodes:
    """The node that each place of the sorted rows is in: where it begins and ends, [C, M]."""

    start: Array
    end: Array


class _Trees:
    """A tree for each column: the cuts between its sorted values."""

    def __init__(self, values: Array, truth: Array, min_leaf: int) -> None:
        self.min_leaf = min_leaf
        order = np.argsort(values, axis=1, kind="stable")  # NaN last
        self.values = np.take_along_axis(values, order, axis=1)
        num_columns, num_rows = values.shape
        rows = truth[order]  # [C, M, K]
        self.sums = _cumulate(rows)  # [C, M + 1, K]
        self.squares = _cumulate((rows**2).sum(axis=2, keepdims=True))[:, :, 0]
        self.num_known = (~np.isnan(values)).sum(axis=1)  # [C]
        everything = self.sums[:, -1]
        known = np.take_along_axis(self.sums, self.num_known[:, None, None], axis=1)[:, 0]
        self.missing, self.num_missing = everything - known, num_rows - self.num_known
        self.places = np.arange(num_rows)
        # A node begins at each cut; rows without a value are behind the last one.
        self.cuts = np.zeros((num_columns, num_rows + 1), dtype=bool)
        self.cuts[:, 0] = True
        self.cuts[np.arange(num_columns), self.num_known] = True
        self.missing_at = np.zeros(
            num_columns, dtype=np.int64
        )  # their node's start; -1: a leaf of their own

    def grow(self) -> None:
        """Cut every node that is not pure in two, level by level."""
        for _ in range(MAX_DEPTH):
            nodes = self._nodes()
            score, direction = self._score(nodes)
            columns, places = _best_of_nodes(score, nodes.start)
            if not len(columns):
                return
            self._move_missing(nodes, columns, places, direction)
            is_cut = direction[columns, places] != APART
            self.cuts[columns[is_cut], places[is_cut] + 1] = True

    def answer(self, values: Array) -> Array:
        """[C, R, K] of [C, R] values."""
        answers: Array = np.empty((*values.shape, self.sums.shape[2]))
        for column, cells in enumerate(values):
            num_known = self.num_known[column]
            starts = np.flatnonzero(self.cuts[column, :num_known])
            ends = np.append(starts[1:], num_known)
            sums = self.sums[column, ends] - self.sums[column, starts]
            counts = ends - starts
            own = np.searchsorted(starts, self.missing_at[column])
            if self.missing_at[column] >= 0 and len(starts):
                sums[own] += self.missing[column]
                counts[own] += self.num_missing[column]
            leaves = sums / np.maximum(counts, 1)[:, None]
            is_missing = np.isnan(cells)
            if len(starts):
                place = np.searchsorted(self._thresholds(column, starts), cells, side="left")
                answers[column] = leaves[np.minimum(place, len(starts) - 1)]
            if self.missing_at[column] >= 0 and len(starts):
                answers[column, is_missing] = leaves[own]
            else:
                answers[column, is_missing] = self.missing[column] / max(
                    1, self.num_missing[column]
                )
        return answers

    def _thresholds(self, column: int, starts: Array) -> Array:
        """Midway between the values on both sides of each cut."""
        below, above = self.values[column, starts[1:] - 1], self.values[column, starts[1:]]
        middle = below.astype(np.float64) / 2 + above.astype(np.float64) / 2
        found: Array = np.where(middle >= above, below, middle)
        return found

    def _nodes(self) -> _Nodes:
        start = np.maximum.accumulate(np.where(self.cuts[:, :-1], self.places, 0), axis=1)
        last = self.cuts.shape[1] - 1
        ends = np.where(self.cuts[:, 1:], self.places + 1, last)
        end = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        return _Nodes(start, end)

    def _score(self, nodes: _Nodes) -> tuple[Array, Array]:
        """How good a cut behind each place is, and where rows without a value then go, [C, M]; -inf: there is none."""
        rows = np.arange(len(self.values))[:, None]
        start, end, cut = nodes.start, nodes.end, self.places + 1
        left = self.sums[:, 1:] - self.sums[rows, start]
        right = self.sums[rows, end] - self.sums[:, 1:]
        num_left, num_right = cut - start, end - cut
        has_missing = (start == self.missing_at[:, None]) & (self.num_missing > 0)[:, None]
        lacking = np.where(has_missing[:, :, None], self.missing[:, None], 0.0)
        num_lacking = np.where(has_missing, self.num_missing[:, None], 0)
        following = np.append(self.values[:, 1:], self.values[:, -1:], axis=1)
        is_known = self.places < self.num_known[:, None]
        is_step = is_known & (num_right > 0) & (following > self.values + SMALLEST_STEP)
        impure = self._is_impure(nodes, lacking, num_lacking)
        score = np.full(start.shape, -np.inf)
        direction = np.zeros(start.shape, dtype=np.int8)
        for way, is_possible, (low, num_low), (high, num_high) in (
            (RIGHT, is_step, (left, num_left), (right + lacking, num_right + num_lacking)),
            (
                LEFT,
                is_step & has_missing,
                (left + lacking, num_left + num_lacking),
                (right, num_right),
            ),
            (
                APART,
                has_missing & is_known & (num_right == 0),
                (left, num_left),
                (lacking, num_lacking),
            ),
        ):
            is_possible = is_possible & impure
            is_possible &= (num_low >= self.min_leaf) & (num_high >= self.min_leaf)
            found = (low**2).sum(2) / np.maximum(num_low, 1)
            found += (high**2).sum(2) / np.maximum(num_high, 1)
            is_better = is_possible & (found > score)
            score = np.where(is_better, found, score)
            direction = np.where(is_better, way, direction)
        return score, direction

    def _is_impure(self, nodes: _Nodes, lacking: Array, num_lacking: Array) -> Array:
        rows = np.arange(len(self.values))[:, None]
        total = self.sums[rows, nodes.end] - self.sums[rows, nodes.start] + lacking
        squares = self.squares[rows, nodes.end] - self.squares[rows, nodes.start]
        absent = self.squares[:, -1] - self.squares[rows[:, 0], self.num_known]
        squares = squares + np.where(num_lacking > 0, absent[:, None], 0.0)
        count = np.maximum(nodes.end - nodes.start + num_lacking, 1)
        variance = squares / count - ((total / count[:, :, None]) ** 2).sum(2)
        is_impure: Array = variance > PURE
        return is_impure

    def _move_missing(self, nodes: _Nodes, columns: Array, places: Array, direction: Array) -> None:
        """Rows without a value follow the cut of their node; where training has none, they go with most rows."""
        is_theirs = nodes.start[columns, places] == self.missing_at[columns]
        columns, places = columns[is_theirs], places[is_theirs]
        way = direction[columns, places]
        num_left = places + 1 - nodes.start[columns, places]
        num_right = nodes.end[columns, places] - places - 1
        goes_right = np.where(self.num_missing[columns] > 0, way == RIGHT, num_left <= num_right)
        self.missing_at[columns[goes_right]] = places[goes_right] + 1
        self.missing_at[columns[way == APART]] = -1


def _cumulate(rows: Array) -> Array:
    """Sums of the first 0, 1, … rows, [C, M + 1, K]."""
    start = np.zeros((rows.shape[0], 1, rows.shape[2]))
    return np.concatenate([start, rows.cumsum(axis=1)], axis=1)


def _best_of_nodes(score: Array, start: Array) -> tuple[Array, Array]:
    """Column and place of the best cut of each node, the first of equals; of nodes that have any."""
    flat = score.ravel()
    begins = np.flatnonzero(start.ravel() == np.tile(np.arange(start.shape[1]), len(start)))
    best = np.maximum.reduceat(flat, begins)
    node = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(flat))))
    places = np.flatnonzero(np.isfinite(flat) & (flat == best[node]))
    is_first = np.append(True, node[places][1:] != node[places][:-1])[: len(places)]
    columns, within = np.divmod(places[is_first], score.shape[1])
    return columns, within
