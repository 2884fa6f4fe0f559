"""View: what a model beside the encoder sees of one column: a number, a category, the items of a list, or words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.derived_columns import DerivedColumn
from bert_playground.data.columns.parsing import read_date, read_items
from bert_playground.data.templates.features import DAYS, Feature

Array = np.ndarray[Any, Any]
MAX_CATEGORIES = 255  # what scikit-learn's histograms hold
MAX_ITEMS = 64  # of a list that have a column each
REPEATED = 0.3  # share of the rows from which on strings that rows share are a category too
MIN_ROWS = 3  # on which a value stands to be shared
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ISO = "%Y-%m-%d"
MAX_NUMBER = 1e30  # within what f32 holds


@dataclass(frozen=True)
class View:
    """One column in one reading; fitted on training rows.

    Attributes:
        kind: "number", "category", "items", "text", or "string" for the words of names and codes.
        feature: how its cells are read.
        values: categories or items of the training rows, the most frequent first.
    """

    kind: str
    feature: Feature
    values: tuple[str, ...] = ()

    def read(self, frame: pl.DataFrame) -> pl.Series:
        """The cells of a table with derived columns: floats, strings that are never null, or lists of strings."""
        return frame.select(cell=_READERS[self.kind](self.feature)).to_series()

    def numbers(self, frame: pl.DataFrame) -> Array:
        """Of a number: its values [R], NaN where there is none."""
        values = self.read(frame).cast(pl.Float64).to_numpy()
        return np.clip(np.where(np.isinf(values), np.nan, values), -MAX_NUMBER, MAX_NUMBER)

    def codes(self, frame: pl.DataFrame) -> Array:
        """Of a category: its place among `values` [R], -1 for those that training did not have."""
        places = pl.Series(range(len(self.values)), dtype=pl.Int64)
        known = pl.Series(self.values, dtype=pl.String)
        cells = self.read(frame)
        return cells.replace_strict(known, places, default=-1, return_dtype=pl.Int64).to_numpy()

    def items(self, frame: pl.DataFrame) -> Array:
        """Of a list: which of `values` are in it, and how many items it has: [R, V + 1]."""
        cells = self.read(frame)
        found = np.zeros((len(cells), len(self.values) + 1))
        found[:, -1] = cells.list.len().to_numpy()
        table = pl.DataFrame({"row": np.arange(len(cells)), "item": cells}).explode("item")
        places = pl.Series(range(len(self.values)), dtype=pl.Int64)
        known = pl.Series(self.values, dtype=pl.String)
        place = table["item"].replace_strict(known, places, default=-1, return_dtype=pl.Int64)
        is_known = (place >= 0).fill_null(False)
        found[table["row"].filter(is_known).to_numpy(), place.filter(is_known).to_numpy()] = 1
        return found

    def fit(self, frame: pl.DataFrame) -> Self:
        """The same with the values of the training rows."""
        if self.kind not in ("category", "items"):
            return self
        cells = self.read(frame)
        flat = cells.explode().drop_nulls() if self.kind == "items" else cells
        counts = flat.rename("value").value_counts(name="rows")
        counts = counts.sort("rows", "value", descending=[True, False])
        return replace(self, values=tuple(counts["value"].to_list()))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        feature = Feature.from_dict(state["feature"])
        return cls(str(state["kind"]), feature, tuple(map(str, state["values"])))


def fit_views(
    frame: pl.DataFrame, features: Sequence[Feature], derived: Sequence[DerivedColumn]
) -> tuple[View, ...]:
    """Choose what is seen of the rows; nothing that a cell was reduced to hides the cell.

    Args:
        frame: the training rows with derived columns, all cells as text.
        features: of the pipeline.
        derived: columns among them that are parts of others.
    """
    chosen = [view for feature in features for view in _views_of(frame, feature)]
    for column in derived:
        if column.kind in ("part", "items"):
            chosen += _views_of_string(frame, column.sources[0])
    # The parts of a date are readings of their own, and a column may be the source of several parts.
    keyed = {
        (each.kind, each.feature.column, each.feature.form, each.feature.part): each
        for each in reversed(chosen)
    }
    return tuple(view.fit(frame) for view in reversed(keyed.values()))


def _views_of(frame: pl.DataFrame, feature: Feature) -> list[View]:
    if feature.form == "number":
        return [View("number", feature)]
    if feature.form == "date":
        return [View("number", feature), View("number", replace(feature, part=DAYS, known=()))]
    if feature.form == "list":
        return [View("items", feature)]
    if feature.form == "text":
        return _views_of_string(frame, feature.column, "text")
    if feature.form == "category":
        whole = View("category", replace(feature, known=()))
        is_wide = frame[feature.column].n_unique() > MAX_CATEGORIES
        return [whole, *(_views_of_string(frame, feature.column) if is_wide else ())]
    kind = "text" if feature.form == "words" else "string"
    return [View("category", feature), *_views_of_string(frame, feature.column, kind)]


def _views_of_string(frame: pl.DataFrame, column: str, kind: str = "string") -> list[View]:
    """The words of a column, and its cells as categories where rows share them."""
    words = View(kind, Feature(column, column, "text"))
    counts = words.read(frame).rename("value").value_counts(name="rows")
    shared = counts.filter((pl.col("rows") >= MIN_ROWS) & (pl.col("value") != ""))["rows"].sum()
    if shared < max(MIN_ROWS, REPEATED * frame.height):
        return [words]
    return [words, View("category", Feature(column, column, "category"))]


def _number(feature: Feature) -> pl.Expr:
    if feature.form == "number":
        return feature.read()
    if feature.part == DAYS:
        return read_date(feature.read(), feature.spelling or ISO).dt.epoch("d")
    part = feature.say(feature.read(), numbers="exact")
    if feature.part == "weekday":
        places = pl.Series(range(7), dtype=pl.Float64)
        days = pl.Series(WEEKDAYS, dtype=pl.String)
        return part.replace_strict(days, places, default=None, return_dtype=pl.Float64)
    return part.cast(pl.Float64, strict=False)


def _category(feature: Feature) -> pl.Expr:
    return feature.cell(numbers="exact")


def _items(feature: Feature) -> pl.Expr:
    # A cell without a value is a list without items.
    return read_items(feature.read().fill_null(""), feature.spelling)


def _text(feature: Feature) -> pl.Expr:
    return feature.read().fill_null("")


_READERS = {
    "number": _number,
    "category": _category,
    "items": _items,
    "text": _text,
    "string": _text,
}
