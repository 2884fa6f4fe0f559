"""Features: what of each column reaches the text, fitted on training rows and said in sentences."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import (
    DATE_PATTERN,
    MISSING,
    NAME_PATTERN,
    NONE,
    Kind,
    infer_kinds,
)
from bert_playground.data.columns.parsing import read_date, read_hour, read_items, read_number
from bert_playground.data.columns.wide import read_numbers
from bert_playground.lookup import look_up, shorten

MAX_OWN_BINS = 12  # a number with so few distinct values keeps them, each a bin of its own
MIN_ROWS = (
    3  # a category, title or prefix on fewer training rows is read as "other" or word by word
)
MAX_KNOWN = 256
# As they are, to four digits, by training quantiles, or the power of ten before the digits: "e2 3.14".
NUMBERS = ("exact", "rounded", "bins", "magnitude")
SAID_SPELLINGS = {
    "worded": "{}: numbers among signs or words",
    "comma": "{}: numbers with a decimal comma",
    "scaled": "{}: numbers with thousands, millions or billions behind them",
    "%m/%d/%Y": "{}: dates read as month/day/year; override with data.kinds",
    "%d/%m/%Y": "{}: dates read as day/month/year",
    "%m-%d-%Y": "{}: dates read as month-day-year; override with data.kinds",
    "%d-%m-%Y": "{}: dates read as day-month-year",
    "%m/%d/%y": "{}: dates read as month/day/year; override with data.kinds",
    "%d/%m/%y": "{}: dates read as day/month/year",
    "%Y%m%d": "{}: dates read as year, month and day without signs; override with data.kinds",
}
DATE_PARTS = ("year", "month", "day", "weekday", "hour")
DAYS = "days"  # a date as one number, for models that read no text
_NO_VALUE, _NO_ANSWER = (pl.lit(pl.Series(words)).implode() for words in (MISSING, NONE))


@dataclass(frozen=True)
class Feature:
    """One piece of a row's text.

    Attributes:
        column: where it comes from.
        label: what it is called in the text.
        form: a name in FORMS: how the cell is read.
        known: values of the training rows, in the order of their bins or by frequency.
        edges: between the bins of a number, ascending, one fewer than `known`.
        part: of a date.
        spelling: of numbers, dates and lists; see parsing.py.
        says_missing: whether a cell without a value says so; of the parts of one column the first does.
    """

    column: str
    label: str
    form: str
    known: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    part: str = ""
    spelling: str = ""
    says_missing: bool = True

    def __post_init__(self) -> None:
        look_up(FORMS, self.form, "form of a feature")
        if self.form == "date" and self.part and self.part != DAYS:
            look_up(dict.fromkeys(DATE_PARTS), self.part, "part of a date")
        is_binned = self.form == "number" and (self.edges or self.known)
        if is_binned and (len(self.known) != len(self.edges) + 1 or not _is_rising(self.edges)):
            raise ValueError(
                f"feature {self.column!r} has {len(self.known)} bins and {len(self.edges)} edges between them, expected one "
                "fewer, ascending"
            )

    @property
    def is_text(self) -> bool:
        """Whether its cells are read word by word."""
        return self.form in ("text", "words", "list")

    def read(self) -> pl.Expr:
        """What the column holds: a number, or text without surrounding blanks; null where there is no value."""
        value = pl.col(self.column).str.strip_chars()
        if self.form == "number":
            # No word for a missing value is a number in any spelling, so none needs to be looked for.
            return read_number(value, self.spelling)
        if self.form == "date":
            return value
        return pl.when(~value.str.to_lowercase().is_in(_NO_VALUE)).then(value)

    def say(self, value: pl.Expr, *, numbers: str) -> pl.Expr:
        """What `read` gave as text, never null: "missing" where there is no value; `numbers` is a name in NUMBERS."""
        return FORMS[self.form](self, value, numbers).fill_null("missing")

    def cell(self, *, numbers: str) -> pl.Expr:
        """Both: the cell as text."""
        return self.say(self.read(), numbers=numbers)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(**{**state, "known": tuple(state["known"]), "edges": tuple(state["edges"])})


def _is_rising(edges: Sequence[float]) -> bool:
    return all(low <= high for low, high in itertools.pairwise(edges))


def _number(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    if numbers == "bins":
        edges = pl.lit(pl.Series(feature.edges, dtype=pl.Float64))
        names = pl.lit(pl.Series(feature.known, dtype=pl.String))
        place = edges.search_sorted(value, side="left")
        return pl.when(value.is_not_null()).then(names.gather(place))
    if numbers == "magnitude":
        exponent = value.abs().log10().floor()
        mantissa = value / pl.lit(10.0).pow(exponent)
        digits = mantissa.round(2).cast(pl.String)
        words = pl.concat_str(
            pl.lit("e"), exponent.cast(pl.Int64, strict=False), pl.lit(" "), digits
        )
        return pl.when(value == 0).then(pl.lit("0")).otherwise(words)
    if numbers == "rounded":
        value = value.round_sig_figs(4)
    return value.cast(pl.String).str.strip_suffix(".0")


def _category(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    is_none = value.str.to_lowercase().is_in(_NO_ANSWER)
    return pl.when(is_none).then(pl.lit("none")).otherwise(value)


def _text(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    return value


def _known_or_other(feature: Feature, value: pl.Expr, word: pl.Expr, absent: str) -> pl.Expr:
    """A word of the value, if training rows had it; `absent` stands where a value has no such word."""
    has_value = value.is_not_null()
    if not feature.known:
        return pl.when(has_value).then(word.fill_null(absent))
    is_known = word.is_in(pl.lit(pl.Series(feature.known)).implode())
    is_absent_known = absent in feature.known and absent != "other"
    rest = pl.when(word.is_null() & is_absent_known).then(pl.lit(absent)).otherwise(pl.lit("other"))
    return pl.when(is_known).then(word).when(has_value).then(rest)


def _title(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    title = value.str.extract(NAME_PATTERN).str.strip_chars()
    return _known_or_other(feature, value, title, "other")


def _prefix(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    letters = value.str.extract(r"^([A-Za-z]+)").str.to_uppercase()
    return _known_or_other(feature, value, letters, "number")


def _words(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    words = value.str.to_lowercase().str.extract_all(r"\w+")
    if feature.known:
        words = words.list.filter(pl.element().is_in(feature.known)).list.unique(
            maintain_order=True
        )
    joined = words.list.join(" ")
    return pl.when(joined == "").then(pl.lit("other")).otherwise(joined)


def _list(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    items = read_items(value, feature.spelling)
    if feature.known:
        items = items.list.filter(pl.element().is_in(feature.known))
    joined = items.list.join(", ")
    return pl.when(joined == "").then(pl.lit("other")).otherwise(joined)


def _date(feature: Feature, value: pl.Expr, numbers: str) -> pl.Expr:
    if feature.spelling:
        date, hour = read_date(value, feature.spelling), read_hour(value)
    else:
        value = pl.when(value.str.contains(DATE_PATTERN)).then(value)
        date = value.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        hour = read_hour(value)
    if feature.part == "hour":
        return hour
    if feature.part == "weekday":
        return date.dt.strftime("%A")
    part: pl.Expr = getattr(date.dt, feature.part)()
    return part.cast(pl.String)


FORMS: dict[str, Callable[[Feature, pl.Expr, str], pl.Expr]] = {
    "number": _number,
    "category": _category,
    "text": _text,
    "title": _title,
    "prefix": _prefix,
    "words": _words,
    "date": _date,
    "list": _list,
}
# How a column of a kind is read where that has another name.
FORM_OF_KIND = {"name": "title", "code": "prefix", "ordinal": "category", "boolean": "category"}


def fit_features(
    frame: pl.DataFrame, kinds: Mapping[str, Kind] | None = None, **asked: Any
) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """Decide what of each column is kept.

    Args:
        frame: the training rows, all cells as text.
        kinds: of the columns that are features; None: inferred.
        asked: see `infer_kinds`.

    Returns:
        The features, long texts last so that truncation meets them first, and the sentences that state the choice.

    Raises:
        ValueError: no column is left.
    """
    kinds = infer_kinds(frame, **asked) if kinds is None else kinds
    features: list[Feature] = []
    numbers = read_numbers(
        frame, {name: kind.spelling for name, kind in kinds.items() if kind.name == "number"}
    )
    for name, kind in kinds.items():
        features.extend(_fit_column(frame, name, kind, numbers))
    if not features:
        reason = f"{shorten(kinds)} are empty, constant or identify rows, of which there are {frame.height}"
        reason = reason if kinds else "there is none beside the target and what is dropped"
        raise ValueError(
            f"no column is left to learn from: {reason}; check --target and --id-column, or keep one with data.text_columns"
        )
    ordered = sorted(_with_own_labels(features), key=lambda feature: feature.is_text)
    return tuple(ordered), tuple(_state(kinds, features))


def _fit_column(
    frame: pl.DataFrame, name: str, kind: Kind, numbers: Mapping[str, np.ndarray]
) -> list[Feature]:
    label = humanise(name)
    if kind.name == "nothing":
        return []
    if kind.name == "number":
        return [_fit_number(numbers[name], Feature(name, label, "number", spelling=kind.spelling))]
    if kind.name == "date":
        parts = [
            Feature(name, f"{label} {part}", "date", part=part, spelling=kind.spelling)
            for part in DATE_PARTS
        ]
        fitted = [_fit_known(frame, part) for part in parts]
        return [part for part in fitted if len(part.known) > 1]
    form = FORM_OF_KIND.get(kind.name, kind.name)
    if form == "list":
        return [_fit_items(frame, Feature(name, label, "list", spelling=kind.spelling))]
    if form == "words":
        feature = _fit_words(frame, Feature(name, label, "words"))
    else:
        feature = Feature(name, label, form)
        feature = feature if form == "text" else _fit_known(frame, feature)
    return [feature] if feature.known or form == "text" else []


def _fit_known(frame: pl.DataFrame, feature: Feature) -> Feature:
    counts = frame.select(value=feature.cell(numbers="bins")).group_by("value").len()
    counts = counts.filter(pl.col("len") >= min(MIN_ROWS, max(1, frame.height // 10)))
    known = counts.sort("len", "value", descending=[True, False])["value"][:MAX_KNOWN].to_list()
    return replace(feature, known=tuple(known))


def _fit_words(frame: pl.DataFrame, feature: Feature) -> Feature:
    """Keep the words on at least half a percent of the rows: what rows share, not what tells them apart."""
    words = frame.select(feature.read().str.to_lowercase().str.extract_all(r"\w+").list.unique())
    counts = words.to_series().explode().drop_nulls().rename("word").value_counts()
    counts = counts.filter(pl.col("count") >= max(5, frame.height / 200)).sort(
        "count", "word", descending=[True, False]
    )
    return replace(feature, known=tuple(counts["word"][:MAX_KNOWN]))


def _fit_items(frame: pl.DataFrame, feature: Feature) -> Feature:
    items = frame.select(item=read_items(feature.read(), feature.spelling))
    counts = items.to_series().explode().drop_nulls().value_counts()
    counts = counts.filter(pl.col("count") >= min(MIN_ROWS, max(1, frame.height // 10)))
    counts = counts.sort("count", "item", descending=[True, False])
    return replace(feature, known=tuple(counts["item"][:MAX_KNOWN]))


def _fit_number(cells: np.ndarray, feature: Feature) -> Feature:
    numbers = np.clip(cells[~np.isnan(cells)], -1e300, 1e300)
    distinct = np.unique(numbers)
    if len(distinct) <= MAX_OWN_BINS:
        edges = np.unique(distinct[:-1] + np.diff(distinct) / 2)
        known = tuple(f"{value:.6g}" for value in distinct)
        if len(set(known)) == len(edges) + 1 == len(known):
            return replace(feature, known=known, edges=tuple(edges.tolist()))
    edges = _quantile_edges(numbers, choose_num_bins(len(numbers)))
    known = tuple(f"q{i}" for i in range(1, len(edges) + 2))
    return replace(feature, known=known, edges=tuple(edges.tolist()))


def choose_num_bins(num_values: int) -> int:
    """The cube root of the number of values, 8 to 64: more rows can tell finer bins apart."""
    return min(64, max(8, round(float(np.cbrt(num_values)))))


def _quantile_edges(numbers: np.ndarray, num_bins: int) -> np.ndarray:
    """Edges of bins with about equally many rows; a value on very many rows, such as 0, counts as one bin's worth."""
    distinct, counts = np.unique(numbers, return_counts=True)
    mass = np.cumsum(np.minimum(counts, len(numbers) / num_bins))
    places = np.searchsorted(mass, mass[-1] * np.arange(1, num_bins) / num_bins)
    return np.unique(distinct[places])


def humanise(name: str) -> str:
    """A column name as words: "family_history" and "FamilyHistory" become "family history"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z]{2}|[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\W]+", " ", name)
    return " ".join(spaced.lower().split()) or name.strip() or "column"


def _with_own_labels(features: list[Feature]) -> list[Feature]:
    counts = Counter(feature.label for feature in features)
    return [
        feature
        if counts[feature.label] == 1
        else replace(feature, label=f"{feature.column} {feature.part}".strip())
        for feature in features
    ]


def _state(kinds: Mapping[str, Kind], features: list[Feature]) -> list[str]:
    by_column = {feature.column: feature for feature in features}
    statements = []
    for form, title in (
        ("number", "numbers"),
        ("category", "categories"),
        ("ordinal", "ordered categories"),
        ("boolean", "yes or no"),
        ("date", "dates"),
        ("list", "lists"),
        ("text", "free text"),
    ):
        names = [name for name, kind in kinds.items() if kind.name == form and name in by_column]
        if names:
            statements.append(f"{title}: {shorten(names)}")
    for name, kind in kinds.items():
        if kind.spelling in SAID_SPELLINGS:
            statements.append(SAID_SPELLINGS[kind.spelling].format(name))
        if kind.odd:
            what = f"a {kind.name}"
            statements.append(f"{name}: read as {what}; {shorten(kind.odd)} count as missing")
        if kind.is_identifying:
            statements.append(_say_reduction(name, kind, by_column.get(name)))
    nothing = [name for name, kind in kinds.items() if kind.name == "nothing"]
    if nothing:
        statements.append(f"left out, without any value or with a single one: {shorten(nothing)}")
    return statements


def _say_reduction(name: str, kind: Kind, feature: Feature | None) -> str:
    start = f"{name} identifies rows ({kind.num_distinct} distinct of {kind.num_values})"
    end = "; keep it whole with data.text_columns"
    if feature is None:
        return f"{start}: left out{end}"
    shown = ", ".join(feature.known[:6]) + (", …" if len(feature.known) > 6 else "")
    what = {
        "title": "the title",
        "prefix": "the leading letters",
        "words": f"{len(feature.known)} frequent words",
    }[feature.form]
    return f"{start}: reduced to {what} ({shown}){end}"


def has_free_text(features: Sequence[Feature]) -> bool:
    """Whether free text is among what is read."""
    return any(feature.form == "text" for feature in features)
