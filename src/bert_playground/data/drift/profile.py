"""ColumnProfile: what training saw of a column: how it is written, what is missing, quantiles, values and their counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import NONE, clean, infer_kind
from bert_playground.data.columns.parsing import PLAIN, read_items
from bert_playground.data.drift.cells import (
    cumulate,
    extract_rest,
    is_missing,
    most_frequent,
    read_strictly,
)
from bert_playground.data.reading.table import as_text
from bert_playground.data.targets.fit import Encoder
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.data.targets.multilabel import LabelListEncoder, MultilabelEncoder
from bert_playground.data.templates.features import FORM_OF_KIND, FORMS, Feature
from bert_playground.documents import list_of, make_document, schema_of
from bert_playground.lookup import look_up

NUM_QUANTILES = 33  # of numbers, dates, and the lengths of texts
MAX_VALUES = 2000  # of a category; of more the most frequent are kept
MAX_UNITS = 20
EXAMPLE_ROWS = 4000
NUMERIC = ("number", "date")
COUNTED = ("category", "title", "prefix", "list")  # whose values, or words of them, are counted


@dataclass(frozen=True)
class ColumnProfile:
    """What the training rows say of a column.

    Attributes:
        column: its name.
        form: how it becomes text: a name in FORMS of features.py.
        spelling: of numbers, dates and lists; see parsing.py.
        num_rows: of the training table.
        num_missing: rows without a value.
        num_unreadable: rows with one that is no number or date as the column writes them.
        edges: quantiles of the numbers, days or lengths of texts, ascending, from the least to the greatest.
        shares: of the rows with a value, that are at most each edge.
        values: distinct ones, the most frequent first; titles, prefixes and items of lists as the text has them.
        counts: rows with each.
        num_rare: rows whose values were seen once, or are beyond `values`: so many of other rows will hold new ones
            (Good and Turing).
        is_complete: whether `values` are all.
        units: what stands around numbers.
        example: a cell.
        importance: how much the column, alone, tells of the target, 0 to 1; None: not measured.
    """

    column: str
    form: str
    spelling: str
    num_rows: int
    num_missing: int
    num_unreadable: int = 0
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    num_rare: int = 0
    is_complete: bool = True
    units: tuple[str, ...] = ()
    example: str = ""
    importance: float | None = None

    def __post_init__(self) -> None:
        look_up(FORMS, self.form, "form of a column")
        if len(self.edges) != len(self.shares):
            raise ValueError(
                f"the profile of {self.column!r} has {len(self.edges)} edges and {len(self.shares)} shares"
            )

    @property
    def knows_values(self) -> bool:
        """Whether a value that is not in `values` was never seen."""
        return self.form in ("category", "list") and self.is_complete

    @property
    def is_numeric(self) -> bool:
        """Whether cells are read as numbers or dates."""
        return self.form in NUMERIC

    def measure(self, cells: pl.Series) -> pl.Series:
        """[R] the numbers, days or lengths of cells without blanks around them; null where a cell has none."""
        if self.is_numeric:
            return read_strictly(cells, self.form, self.spelling)
        return cells.str.len_chars().cast(pl.Float64)

    def name_values(self, cells: pl.Series) -> pl.Series:
        """What is counted of cells without blanks around them: [R] values, or the lists of them."""
        if self.form == "list":
            return cells.to_frame("v").select(read_items(pl.col("v"), self.spelling)).to_series()
        if self.form == "category":
            lowered = pl.col("v").str.to_lowercase()
            value = pl.when(lowered.is_in(NONE)).then(pl.lit("none")).otherwise(pl.col("v"))
            return cells.to_frame("v").select(value).to_series()
        # Not by `cell`, which would clean once more, nor with `known`, by which words are extracted three times.
        word = Feature(cells.name, "", self.form).say(pl.col(cells.name), numbers="bins")
        words = cells.to_frame().select(word).to_series()
        if not self.values:
            return words
        return words.zip_with(words.is_in([*self.values, "missing"]), pl.Series(["other"]))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        lists = {name: tuple(value) for name, value in state.items() if isinstance(value, list)}
        return cls(**{**state, **lists})


NEEDED = ("column", "form", "spelling")
# What pipeline.json has of them; folders of earlier versions have none.
PROFILED = make_document(
    "Profiled",
    {
        "profiles": (
            list_of(schema_of(ColumnProfile, needed=NEEDED, nullable=False)) | None,
            None,
        )
    },
)


def fit_profiles(
    frame: pl.DataFrame, columns: Sequence[str], features: Sequence[Feature]
) -> tuple[ColumnProfile, ...]:
    """Keep of training rows what later tables are compared with.

    Args:
        frame: the training rows, all cells as text.
        columns: that are read.
        features: how they become text; one that others are derived from alone is taken for what its cells are.
    """
    first = {feature.column: feature for feature in reversed(features)}
    return tuple(_fit(frame[name], first.get(name) or _infer(frame[name])) for name in columns)


def label_profiles(encoder: Encoder, target: str) -> tuple[ColumnProfile, ...]:
    """What the columns with the answers are compared with: their classes.

    Args:
        encoder: of the labels.
        target: the column of an encoder of one.
    """
    if isinstance(encoder, LabelEncoder):
        if not encoder.classes:
            return (ColumnProfile(target, "number", encoder.spelling, 0, 0),)
        return (ColumnProfile(target, "category", "", 0, 0, values=_spell(encoder.classes)),)
    if isinstance(encoder, LabelListEncoder):
        (name,) = encoder.columns
        return (ColumnProfile(name, "list", encoder.separator, 0, 0, values=encoder.classes),)
    if isinstance(encoder, MultilabelEncoder):
        pairs = zip(encoder.columns, encoder.encoders, strict=True)
        return tuple(each for name, own in pairs for each in label_profiles(own, name))
    return ()


def _spell(classes: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, classes))


def _infer(column: pl.Series) -> Feature:
    kind = infer_kind(column)
    form = FORM_OF_KIND.get(kind.name, kind.name)
    return Feature(column.name, "", form if form in FORMS else "text", spelling=kind.spelling)


def _fit(column: pl.Series, feature: Feature) -> ColumnProfile:
    column = as_text(column.to_frame()).to_series()
    cells = clean(column)
    if feature.form in NUMERIC:
        none = is_missing(pl.col(cells.name), also_none=True)
        cells = cells.to_frame().select(pl.when(~none).then(pl.col(cells.name))).to_series()
    values = cells.drop_nulls()
    facts: dict[str, Any] = {
        "column": column.name,
        "form": feature.form,
        "spelling": feature.spelling,
        "num_rows": len(column),
        "num_missing": cells.null_count(),
    }
    if feature.form in COUNTED:
        facts |= _count_values(ColumnProfile(**facts, values=feature.known), values)
    else:
        facts |= _measure(ColumnProfile(**facts), values)
    return ColumnProfile(**facts)


def _measure(profile: ColumnProfile, values: pl.Series) -> dict[str, Any]:
    read = profile.measure(values)
    numbers = np.sort(read.drop_nulls().to_numpy())
    facts: dict[str, Any] = {"example": _example(values.filter(read.is_not_null()))}
    if profile.is_numeric:
        facts["num_unreadable"] = read.null_count()
    if profile.form == "number" and profile.spelling != PLAIN:
        found = extract_rest(values, profile.spelling).value_counts(sort=True)
        facts["units"] = tuple(found.to_series()[:MAX_UNITS].to_list())
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return facts
    places = np.linspace(0, len(finite) - 1, NUM_QUANTILES).round().astype(np.int64)
    edges = np.unique(finite[places])
    shares = cumulate(finite, edges)[:-1] / len(finite)
    return facts | {"edges": tuple(edges.tolist()), "shares": tuple(shares.tolist())}


def _count_values(profile: ColumnProfile, cells: pl.Series) -> dict[str, Any]:
    named = profile.name_values(cells)
    items = named.explode().drop_nulls() if profile.form == "list" else named
    counts = items.alias("value").value_counts()
    order = ["count", "value"]
    kept = counts.sort(order, descending=[True, False])[:MAX_VALUES]
    rare = counts.filter(pl.col("count") == 1).height + len(items) - int(kept["count"].sum())
    return {
        "values": tuple(kept["value"].to_list()),
        "counts": tuple(kept["count"].to_list()),
        "num_rare": rare,
        "is_complete": counts.height <= MAX_VALUES,
        "example": _example(cells),
    }


def _example(cells: pl.Series) -> str:
    """The most frequent cell of some rows, the first of equals."""
    return most_frequent(cells.gather_every(max(1, len(cells) // EXAMPLE_ROWS))) or ""
