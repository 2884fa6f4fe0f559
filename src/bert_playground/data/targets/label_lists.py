"""Labels in the cells of one column, such as "red;round" or "['red', 'round']": what they are, and how they are spelt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from bert_playground.data.targets.label_encoder import clean_labels

SEPARATORS = (";", "|", ",", " ")
FEW_LABELS = 20  # more of them must stand on several rows each
BRACKETS = r"^\[(.*)\]$"
QUOTED = r"""'[^']*'|"[^"]*\""""
ALL_QUOTED = rf"^\s*(?:{QUOTED})(?:[\s,;|]+(?:{QUOTED}))*\s*$"


@dataclass(frozen=True)
class ListSpelling:
    """How most cells of a column write a list.

    Attributes:
        separator: one of SEPARATORS.
        joint: what stands between two labels: the separator, and blanks beside it.
        opening: before the first label.
        closing: behind the last one.
        quote: around each label.
        empty: a row without labels.
    """

    separator: str
    joint: str
    opening: str = ""
    closing: str = ""
    quote: str = ""
    empty: str = ""

    @classmethod
    def fit(cls, cells: pl.Series) -> Self:
        """Learn from the cells of the training rows; null is a row without labels."""
        cells = cells.fill_null("").str.strip_chars()
        separator = find_separator(cells)
        is_empty = read_labels(cells, separator).list.len() == 0
        filled = cells.filter(~is_empty)
        has_brackets = _is_mostly(filled.str.contains(BRACKETS))
        unquoted = _without_quotes(_without_brackets(filled))
        joints = unquoted.str.extract_all(rf"\s*{re.escape(separator)}\s*").explode()
        starts = _without_brackets(filled).str.slice(0, 1)
        return cls(
            separator,
            _most_frequent(joints, ", " if has_brackets else separator),
            *(("[", "]") if has_brackets else ("", "")),
            quote=next((mark for mark in "'\"" if _is_mostly(starts == mark)), ""),
            empty=_most_frequent(cells.filter(is_empty), "[]" if has_brackets else ""),
        )

    def write(self, names: Sequence[str], present: np.ndarray) -> pl.Series:
        """The cells of rows by which labels are there, [R, L]."""
        quoted = [self.quoted(name) for name in names]
        columns = [
            pl.Series(str(i), [name, None], dtype=pl.String)[1 - present[:, i].astype(np.int64)]
            for i, name in enumerate(quoted)
        ]
        joined = pl.concat_str(pl.all(), separator=self.joint, ignore_nulls=True)
        lists = pl.format("{}{}{}", pl.lit(self.opening), joined, pl.lit(self.closing))
        is_filled = pl.Series(present.any(axis=1))
        written = pl.when(is_filled).then(lists).otherwise(pl.lit(self.empty))
        return pl.DataFrame(columns).select(written.alias("cells")).to_series()

    def quoted(self, name: str) -> str:
        """A label as a list has it."""
        other = {"'": '"', '"': "'"}.get(self.quote, "")
        quote = other if self.quote and self.quote in name else self.quote
        return f"{quote}{name}{quote}"


def find_separator(cells: pl.Series) -> str:
    """What stands between the labels of a column of lists."""
    bare = _without_quotes(_without_brackets(cells.str.strip_chars()))
    found = (mark for mark in SEPARATORS if bare.str.contains(mark, literal=True).any())
    return next(found, SEPARATORS[0])


def read_labels(cells: pl.Series, separator: str) -> pl.Series:
    """The labels in each cell, without brackets around all and quotes and blanks around each."""
    bare = _without_brackets(cells.str.strip_chars())
    label = pl.element().str.strip_chars()
    unquoted = label.str.replace(r"""^(?:'([^']*)'|"([^"]*)")$""", "${1}${2}").str.strip_chars()
    frame = bare.to_frame("cell")
    quoted = pl.col("cell").str.extract_all(QUOTED)
    lists = (
        pl.when(pl.col("cell").str.contains(ALL_QUOTED))
        .then(quoted)
        .otherwise(pl.col("cell").str.split(separator))
    )
    read = frame.select(lists.list.eval(unquoted)).to_series()
    return read.list.eval(pl.element().filter(pl.element() != "")).alias(cells.name)


def read_bare_labels(cells: pl.Series, separator: str) -> pl.Series:
    """As encoders of earlier versions read them: without any bracket or quote, wherever it stands."""
    bare = cells.str.replace_all(r"""[\[\]"']""", "").str.split(separator)
    return bare.list.eval(pl.element().str.strip_chars()).list.eval(
        pl.element().filter(pl.element() != "")
    )


def holds_lists(labels: pl.Series) -> bool:
    """Whether cells such as "red;round" and "red" are made of the same labels."""
    cells = clean_labels(labels).drop_nulls().unique()
    is_list = cells.str.contains(BRACKETS).all()
    bare = _without_quotes(cells)
    separator = next((mark for mark in ";|" if bare.str.contains(mark, literal=True).any()), None)
    if separator is None and not is_list:
        return False
    items = read_labels(cells, separator or find_separator(cells)).explode().drop_nulls()
    return 2 <= items.n_unique() < len(items) and _do_repeat(items)


def require_repeated(labels: pl.Series) -> None:
    """Check that a target of lists is no text.

    Raises:
        ValueError: most of its labels stand on one row.
    """
    cells = clean_labels(labels).drop_nulls()
    separator = find_separator(cells)
    items = read_labels(cells, separator).explode().drop_nulls()
    if items.n_unique() > FEW_LABELS and not _do_repeat(items):
        raise ValueError(
            f"target {labels.name!r} has {items.n_unique()} different labels between {separator!r} in {len(labels)} rows, "
            f"such as {items[0]!r}: labels of lists stand on several rows each; give the right column with --target"
        )


def _do_repeat(items: pl.Series) -> bool:
    """Whether the items of lists are labels: the clauses of texts hardly ever stand on a second row."""
    num_labels = items.n_unique()
    num_single = int(items.is_unique().sum())
    is_repeated = num_labels <= max(FEW_LABELS, len(items) / 4) or num_single <= len(items) / 10
    return is_repeated and 2 * num_single < len(items)


def _without_brackets(cells: pl.Series) -> pl.Series:
    return cells.str.replace(BRACKETS, "${1}").str.strip_chars()


def _without_quotes(cells: pl.Series) -> pl.Series:
    """Cells of quoted labels with each of them empty; others as they are."""
    is_quoted = _without_brackets(cells).str.contains(ALL_QUOTED).fill_null(False)
    return pl.select(
        pl.when(is_quoted).then(cells.str.replace_all(QUOTED, "")).otherwise(cells)
    ).to_series()


def _is_mostly(found: pl.Series) -> bool:
    return len(found) > 0 and 2 * int(found.sum()) > len(found)


def _most_frequent(values: pl.Series, default: str) -> str:
    """The first in the alphabet of those that are most frequent."""
    values = values.drop_nulls()
    if not len(values):
        return default
    return str(values.mode().sort()[0])
