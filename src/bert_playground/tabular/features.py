"""TabularFeatures: rows as a matrix for boosting, or as a sparse one for linear models; fitted on training rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import polars as pl
import scipy.sparse as sp

from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import as_text, require_columns
from bert_playground.data.templates.derive import derive_columns
from bert_playground.tabular.text_columns import TermWeights, fit_directions, measure_lengths
from bert_playground.tabular.views import MAX_CATEGORIES, MAX_ITEMS, View, fit_views

if (
    TYPE_CHECKING
):  # scikit-learn takes a second to import, which an encoder's answers need not wait for
    from sklearn.decomposition import TruncatedSVD

Array = np.ndarray[Any, Any]
Weighted = Mapping[
    int, list[sp.csr_matrix]
]  # of the strings of some rows, by the number of the view
MAX_OWN = 24  # distinct values of a number, up to which each is a bin of its own
NUM_BINS = 10
STRINGS = ("text", "string")
FEW_VALUES = 20  # of a category; one of more is penalised more, as a value stands on fewer rows
FARTHEST = 5.0  # standard deviations that a number may lie off in a linear model


class Matrix(NamedTuple):
    """What an estimator is given.

    Attributes:
        values: [R, C], dense or sparse; codes of categories are whole numbers from 0 on, NaN is missing.
        is_category: which columns are codes, [C].
    """

    values: Any
    is_category: Array


@dataclass(frozen=True)
class NumberScale:
    """How a linear model sees a number: standardised, and in which bin it is.

    Attributes:
        mean: of the training rows.
        scale: their standard deviation.
        edges: between the bins, ascending.
    """

    mean: float
    scale: float
    edges: tuple[float, ...]

    @classmethod
    def fit(cls, values: Array) -> Self:
        """Learn from the values [R] of the training rows."""
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(0.0, 1.0, ())
        distinct = np.unique(known)
        if len(distinct) <= MAX_OWN:
            edges = distinct[:-1] + np.diff(distinct) / 2
        else:
            edges = np.unique(np.quantile(known, np.arange(1, NUM_BINS) / NUM_BINS))
        scale = float(known.std())
        return cls(
            float(known.mean()),
            scale if np.isfinite(scale) and scale > 0 else 1.0,
            tuple(edges.tolist()),
        )

    def transform(self, values: Array) -> sp.csr_matrix:
        """[R, 1 + bins + 1]: the number, its bin, and whether it is missing."""
        is_missing = np.isnan(values)
        place = np.searchsorted(np.array(self.edges), values)
        place[is_missing] = len(self.edges) + 1
        scaled = np.clip((values - self.mean) / self.scale, -FARTHEST, FARTHEST)
        scaled[is_missing] = 0.0
        return sp.hstack([sp.csr_matrix(scaled[:, None]), one_hot(place, len(self.edges) + 2)])


@dataclass(frozen=True)
class TabularFeatures:
    """What a model beside the encoder sees of the rows of a pipeline.

    Attributes:
        views: of the columns.
        layout: "dense" for trees, "sparse" for linear models, "nothing" for a constant.
        scales: of the numbers, for linear models; by the number of the view.
        weights: of the strings: n-grams and their weights.
        directions: of the strings, for trees.
        kept: the columns that are not the same on all training rows.
    """

    views: tuple[View, ...]
    layout: str
    scales: Mapping[int, NumberScale] = field(default_factory=dict)
    weights: Mapping[int, tuple[TermWeights, ...]] = field(default_factory=dict)
    directions: Mapping[int, "TruncatedSVD"] = field(default_factory=dict)
    kept: tuple[int, ...] = ()

    @classmethod
    def fit(
        cls, pipeline: TextPipeline, train: pl.DataFrame, layout: str, seed: int
    ) -> tuple[Self, Matrix]:
        """Learn from the rows that the pipeline was fitted on.

        Returns:
            The features, and what they are of these rows.
        """
        if layout == "nothing":
            empty = np.zeros((train.height, 0))
            return cls((), layout), Matrix(empty, np.zeros(0, bool))
        frame = read_rows(pipeline.of_training_rows, train)
        views = fit_views(frame, pipeline.all_features, pipeline.derived)
        parts, weighted = _fit_parts(views, frame, layout, seed)
        features = replace(cls(views, layout), **parts)
        matrix = features._transform(frame, weighted)
        kept = _varying(matrix.values)
        features = replace(features, kept=tuple(kept.tolist()))
        return features, Matrix(matrix.values[:, kept], matrix.is_category[kept])

    def transform(self, pipeline: TextPipeline, frame: pl.DataFrame) -> Matrix:
        """The rows of a table.

        Raises:
            ValueError: columns that the fitted table had are missing.
        """
        if self.layout == "nothing":
            return Matrix(np.zeros((frame.height, 0)), np.zeros(0, bool))
        matrix = self._transform(read_rows(pipeline, frame))
        kept = np.array(self.kept, dtype=np.int64)
        return Matrix(matrix.values[:, kept], matrix.is_category[kept])

    def _transform(self, frame: pl.DataFrame, weighted: Weighted | None = None) -> Matrix:
        """The rows of a table with derived columns; `weighted` is what is known of its strings already."""
        weighted = weighted or {}
        if self.layout == "sparse":
            parts = [
                part
                for n, v in enumerate(self.views)
                for part in self._sparse(n, v, frame, weighted)
            ]
            values = sp.hstack(parts, format="csr") if parts else sp.csr_matrix((frame.height, 0))
            return Matrix(values, np.zeros(values.shape[1], bool))
        columns = [
            self._dense(number, view, frame, weighted) for number, view in enumerate(self.views)
        ]
        values = [np.zeros((frame.height, 0)), *columns]
        masks = [
            np.full(column.shape[1], view.kind == "category")
            for column, view in zip(columns, self.views, strict=True)
        ]
        return Matrix(np.concatenate(values, axis=1), np.concatenate([np.zeros(0, bool), *masks]))

    def _sparse(
        self, number: int, view: View, frame: pl.DataFrame, weighted: Weighted
    ) -> list[sp.csr_matrix]:
        if view.kind == "number":
            return [self.scales[number].transform(view.numbers(frame))]
        if view.kind == "category":
            size = len(view.values)
            return [one_hot(view.codes(frame), size) * min(1.0, (FEW_VALUES / max(1, size)) ** 0.5)]
        if view.kind == "items":
            return [sp.csr_matrix(view.items(frame)[:, :-1])]
        return weighted.get(number) or self._weigh(number, view.read(frame))

    def _dense(self, number: int, view: View, frame: pl.DataFrame, weighted: Weighted) -> Array:
        if view.kind == "number":
            return view.numbers(frame)[:, None]
        if view.kind == "category":
            codes = view.codes(frame).astype(np.float64)
            return np.where((codes < 0) | (codes >= MAX_CATEGORIES), np.nan, codes)[:, None]
        if view.kind == "items":
            items = view.items(frame)
            return np.concatenate([items[:, :-1][:, :MAX_ITEMS], items[:, -1:]], axis=1)
        cells = view.read(frame)
        lengths = measure_lengths(cells)
        if number not in self.directions:
            return lengths
        (words,) = weighted.get(number) or self._weigh(number, cells)
        return np.concatenate([lengths, self.directions[number].transform(words)], axis=1)

    def _weigh(self, number: int, cells: pl.Series) -> list[sp.csr_matrix]:
        return [weights.transform(cells) for weights in self.weights[number]]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads; directions are stored beside it."""
        return {
            "layout": self.layout,
            "views": [view.to_dict() for view in self.views],
            "scales": {n: [s.mean, s.scale, s.edges] for n, s in self.scales.items()},
            "weights": {n: [one.to_dict() for one in each] for n, each in self.weights.items()},
            "kept": self.kept,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], directions: Mapping[int, "TruncatedSVD"]) -> Self:
        """Read what `to_dict` gave."""
        scales = state["scales"].items()
        weights = state["weights"].items()
        return cls(
            tuple(map(View.from_dict, state["views"])),
            str(state["layout"]),
            {int(n): NumberScale(float(m), float(s), tuple(e)) for n, (m, s, e) in scales},
            {int(n): tuple(map(TermWeights.from_dict, each)) for n, each in weights},
            directions,
            tuple(map(int, state["kept"])),
        )


def read_rows(pipeline: TextPipeline, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns that a pipeline reads, and those that it derives, as text.

    Raises:
        ValueError: columns that the fitted table had are missing.
    """
    require_columns(frame, pipeline.columns, "the table")
    cells = as_text(frame.select(pipeline.columns))
    return derive_columns(cells, pipeline.form, pipeline.derived)


def one_hot(places: Array, size: int) -> sp.csr_matrix:
    """[R, size] with a one at each place; a row of zeros for a place that is negative."""
    rows = np.flatnonzero(places >= 0)
    return sp.csr_matrix((np.ones(len(rows)), (rows, places[rows])), shape=(len(places), size))


def _fit_parts(
    views: tuple[View, ...], frame: pl.DataFrame, layout: str, seed: int
) -> tuple[dict[str, Any], Weighted]:
    """Fields of TabularFeatures, and the weights of the strings of these rows."""
    kinds, read = (
        (STRINGS, ("words", "characters")) if layout == "sparse" else (("text",), ("words",))
    )
    weights: dict[int, tuple[TermWeights, ...]] = {}
    weighted: dict[int, list[sp.csr_matrix]] = {}
    for number, view in enumerate(views):
        if view.kind in kinds:
            cells = view.read(frame)
            fitted = [each for of in read if (each := TermWeights.fit(of, cells)) is not None]
            weights[number] = tuple(each[0] for each in fitted)
            weighted[number] = [each[1] for each in fitted]
    if layout == "sparse":
        numbers = {n: view for n, view in enumerate(views) if view.kind == "number"}
        scales = {n: NumberScale.fit(view.numbers(frame)) for n, view in numbers.items()}
        return {"scales": scales, "weights": weights}, weighted
    found = {n: fit_directions(each[0], seed) for n, each in weighted.items() if each}
    directions = {n: each for n, each in found.items() if each is not None}
    weights = {n: weights[n] for n in directions}
    return {"weights": weights, "directions": directions}, weighted


def _varying(values: Any) -> Array:
    """The numbers of the columns with more than one value among the rows."""
    if sp.issparse(values):
        width = values.shape[1]
        if not values.shape[0]:
            return np.arange(width)
        spread = values.max(axis=0).toarray() - values.min(axis=0).toarray()
        return np.flatnonzero(spread.reshape(-1) > 0)
    first = values[:1]
    is_same = (values == first) | (np.isnan(values) & np.isnan(first))
    return np.flatnonzero(~is_same.all(axis=0))
