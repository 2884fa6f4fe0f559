"""Features: what of each column reaches the text, and in which form."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import polars as pl

from bert_playground.data.columns.kinds import (
    DATE_PATTERN,
    MISSING,
    NAME_PATTERN,
    NONE,
)
from bert_playground.data.columns.parsing import read_date, read_hour, read_items, read_number
from bert_playground.lookup import look_up

# As they are, to four digits, by training quantiles, or the power of ten before the digits: "e2 3.14".
NUMBERS = ("exact", "rounded", "bins", "magnitude")
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
        """Read what `to_dict` gave.

        Raises:
            ValueError: a form or part that is not known, a date without a part, or bins that do not fit their edges.
        """
        read = cls(**{**state, "known": tuple(state["known"]), "edges": tuple(state["edges"])})
        if read.form == "date" and not read.part:
            raise ValueError(f"feature {read.column!r} is a date without a part")
        return read


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


def humanise(name: str) -> str:
    """A column name as words: "family_history" and "FamilyHistory" become "family history"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z]{2}|[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\W]+", " ", name)
    return " ".join(spaced.lower().split()) or name.strip() or "column"


def has_free_text(features: Sequence[Feature]) -> bool:
    """Whether free text is among what is read."""
    return any(feature.form == "text" for feature in features)
