"""fit_parts: which columns of training rows hold codes, the parts of these, and what is said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from bert_playground.data.columns.code_parts import describe_parts, fit_code_parts
from bert_playground.data.columns.derived_columns import DerivedColumn
from bert_playground.data.columns.kinds import Kind, clean
from bert_playground.lookup import shorten

MAX_DERIVED = 40  # columns of a table
MIN_ROWS = 3  # that share a value, for it to repeat
REPEATED = 0.5  # of the rows share their value with two others: such columns are categories too
WORDED = 0.2  # of the cells have words beside their parts: these are read too


@dataclass(frozen=True)
class Derivation:
    """What is computed of a table's columns.

    Attributes:
        columns: the new ones.
        replaced: columns that their parts stand for.
        quiet: new columns that do not say that they are missing, as another of the same source does.
        statements: one for each source.
    """

    columns: tuple[DerivedColumn, ...] = ()
    replaced: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


NOTHING = Derivation()


def fit_parts(
    frame: pl.DataFrame, kinds: Mapping[str, Kind], *, only_replacing: bool = False
) -> Derivation:
    """The parts of all columns of codes.

    Args:
        frame: the training rows, all cells as text.
        kinds: of the columns that may be read.
        only_replacing: columns alone that would be reduced otherwise: each further one makes rows longer.
    """
    columns: list[DerivedColumn] = []
    replaced, quiet, said = [], [], []
    for name, kind in kinds.items():
        if only_replacing and kind.name != "code":
            continue
        parts = fit_code_parts(frame[name], kind)
        if not parts or len(columns) + len(parts) > MAX_DERIVED:
            continue
        parts = tuple(_with_own_name(part, frame.columns) for part in parts)
        columns += parts
        is_whole = _has_words(frame[name]) or repeated_share(frame[name]) >= REPEATED
        is_replaced = kind.is_identifying and not is_whole
        if is_replaced:
            replaced.append(name)
        # What stands in its place says that it is missing, or the column itself does.
        quiet += [part.name for part in parts[is_replaced:]]
        said.append(describe_parts(parts, name, _choose_example(frame[name], parts)))
    return Derivation(tuple(columns), tuple(replaced), tuple(quiet), tuple(said))


def describe_kept(column: DerivedColumn) -> str:
    """One line about a column that a test supported."""
    if column.kind == "group size":
        (source,) = column.sources
        keys = f"{len(column.keys)} groups of training rows"
        return f"{column.name}: rows that share {_name_key(column)} of {source}, itself included ({keys}; a new one has size 1)"
    if column.kind == "part":
        return f"{column.name}: a part of the id, which repeats"
    return f"{column.name}: the {column.kind} of {shorten(column.sources)}"


def _name_key(column: DerivedColumn) -> str:
    return "the value" if not column.patterns else "that part"


def _with_own_name(column: DerivedColumn, taken: list[str]) -> DerivedColumn:
    name = column.name
    while name in taken:
        name = f"{name} derived"
    return replace(column, name=name)


def repeated_share(column: pl.Series) -> float:
    """Of the rows with a value, those that share it with two others."""
    counts = clean(column).drop_nulls().value_counts(name="rows")["rows"]
    return float(counts.filter(counts >= MIN_ROWS).sum()) / max(1, float(counts.sum()))


def _has_words(column: pl.Series) -> bool:
    """Whether cells hold words beside their parts, such as titles with a year."""
    is_worded = clean(column).drop_nulls().str.contains(r"\p{L}{3,}\W*\s\W*\p{L}{3,}")
    return is_worded.sum() >= WORDED * len(is_worded)


def _choose_example(column: pl.Series, parts: tuple[DerivedColumn, ...]) -> str:
    """The first cell of some that has the most parts."""
    cells = clean(column).drop_nulls()[:200]
    found = cells.to_frame().select(part.cell() for part in parts)
    number = found.select(pl.sum_horizontal(pl.all().is_not_null() & (pl.all() != "none")))
    return str(cells[int(number.to_series().arg_max() or 0)])
