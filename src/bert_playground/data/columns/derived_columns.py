"""DerivedColumn, add_derived: columns that are computed of a row's other cells: parts of codes, sizes of groups, sums."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, Self

import polars as pl

from bert_playground.data.columns.dictionary_encoding import DictionaryColumn
from bert_playground.data.columns.kinds import MISSING
from bert_playground.data.columns.parsing import read_date, read_number

ISO = "%Y-%m-%d"
CONTINUES = "…"  # behind leading digits, so that nothing reads them as a number
_NO_VALUE = pl.lit(pl.Series(MISSING)).implode()


@dataclass(frozen=True)
class DerivedColumn:
    """How a new column is computed of the cells of the same row; fitted on training rows, stored with the pipeline.

    Attributes:
        name: of the new column.
        sources: the columns that it is computed of.
        kind: a name in DERIVATIONS.
        patterns: regular expressions that are applied in turn, each giving its first group.
        fold: "code": capitals, letters and digits alone; "lower"; "": as it stands.
        absent: what a cell says that has a value, but no such part; "": it is missing.
        end: stands behind the part.
        forms: how numbers or dates of the sources are spelt; see parsing.py.
        keys: the groups of the training rows.
        counts: the training rows of each.
        num_own: how many of these the row itself is: 0 of new rows, 1 of training rows; see `of_training_rows`.
    """

    name: str
    sources: tuple[str, ...]
    kind: str
    patterns: tuple[str, ...] = ()
    fold: str = ""
    absent: str = ""
    end: str = ""
    forms: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    num_own: int = 0

    def cell(self) -> pl.Expr:
        """The cell as text; null where there is no value."""
        return DERIVATIONS[self.kind](self).cast(pl.String).alias(self.name)

    def to_dict(self) -> dict[str, Any]:
        """What differs from a plain one, ready for JSON."""
        plain = {each.name: each.default for each in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != plain[name]}

    def __post_init__(self) -> None:
        needed = {"difference": 2, "ratio": 2, "days": 2}.get(self.kind, 1)
        if self.kind not in DERIVATIONS or len(self.sources) < needed:
            raise ValueError(
                f"derived column {self.name!r} is of kind {self.kind!r} with {len(self.sources)} sources; known kinds are "
                f"{', '.join(DERIVATIONS)}, of {needed} or more"
            )
        if self.kind == "items" and not self.patterns:
            raise ValueError(f"derived column {self.name!r} counts items and has no pattern")
        if len(self.counts) != len(self.keys):
            raise ValueError(
                f"derived column {self.name!r} has {len(self.keys)} keys and {len(self.counts)} counts"
            )

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        lists = {name: tuple(value) for name, value in state.items() if isinstance(value, list)}
        return cls(**{**state, **lists})


def read_derived(state: Sequence[Mapping[str, Any]] | None) -> tuple[DerivedColumn, ...]:
    """What pipeline.json holds of them; None: it was written before there were any."""
    derived = tuple(map(DerivedColumn.from_dict, state or ()))
    sources = {name for each in derived for name in each.sources}
    try:
        # A pattern that is none, or takes too much memory, is seen on the first row.
        add_derived(pl.DataFrame({name: ["1"] for name in sources}), derived)
    except (pl.exceptions.PolarsError, LookupError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"derived columns cannot be computed: {first_line}") from error
    return derived


def of_training_rows(derived: Sequence[DerivedColumn]) -> tuple[DerivedColumn, ...]:
    """The same columns for the rows that they were fitted on, which are among those that they count."""
    return tuple(
        replace(each, num_own=1) if each.kind == "group size" else each for each in derived
    )


def add_derived(frame: pl.DataFrame, derived: Sequence[DerivedColumn]) -> pl.DataFrame:
    """The table with the derived columns, as text.

    Args:
        frame: with their sources, all cells as text.
        derived: computed of the table's own columns, none of another.
    """
    return frame.with_columns(map(_expression, derived)) if derived else frame


def derive_cells(
    columns: Mapping[str, DictionaryColumn], derived: Sequence[DerivedColumn]
) -> dict[str, DictionaryColumn]:
    """The derived columns of one source each, computed of its distinct cells alone.

    Args:
        columns: with their sources, by name.
        derived: of one source each.
    """
    by_source: dict[str, list[DerivedColumn]] = {}
    for each in derived:
        by_source.setdefault(each.sources[0], []).append(each)
    if len({id(columns[name].indices) for name in by_source}) == 1:  # a small table: all at once
        frame = pl.DataFrame([columns[name].values for name in by_source])
        found = frame.select(map(_expression, derived))
        return {
            each.name: DictionaryColumn(found[each.name], columns[each.sources[0]].indices)
            for each in derived
        }
    return {
        cells.name: DictionaryColumn(cells, columns[name].indices)
        for name, own in by_source.items()
        for cells in columns[name].values.to_frame().select(map(_expression, own)).iter_columns()
    }


def source_text(name: str) -> pl.Expr:
    """A column without surrounding blanks; null where the cell says that there is no value."""
    value = pl.col(name).str.strip_chars()
    return pl.when(~value.str.to_lowercase().is_in(_NO_VALUE)).then(value)


@lru_cache(maxsize=256)
def _expression(column: DerivedColumn) -> pl.Expr:
    """Small tables are read in less time than it takes to write expressions."""
    return column.cell()


def _extract(column: DerivedColumn) -> pl.Expr:
    part = source_text(column.sources[0])
    for pattern in column.patterns:
        part = part.str.extract(pattern, 1)
    if column.fold == "code":
        part = part.str.replace_all(r"[^\p{L}\p{N}]", "").str.to_uppercase()
    elif column.fold == "lower":
        part = part.str.to_lowercase()
    return pl.when(part != "").then(part)


def _part(column: DerivedColumn) -> pl.Expr:
    part = _extract(column)
    part = part + column.end if column.end else part
    if not column.absent:
        return part
    has_value = source_text(column.sources[0]).is_not_null()
    return pl.when(has_value).then(part.fill_null(column.absent))


def _items(column: DerivedColumn) -> pl.Expr:
    return source_text(column.sources[0]).str.count_matches(column.patterns[0]) + 1


def _group_size(column: DerivedColumn) -> pl.Expr:
    """Rows of the row's group, itself among them: the training rows, and a new row beside them."""
    key = _extract(column)
    keys = pl.Series(column.keys, dtype=pl.String)
    counts = pl.Series(column.counts, dtype=pl.Int64)
    known = key.replace_strict(keys, counts, default=0, return_dtype=pl.Int64)
    size = pl.max_horizontal(known + (1 - column.num_own), pl.lit(1))
    return pl.when(key.is_not_null()).then(size)


def _numbers(column: DerivedColumn) -> list[pl.Expr]:
    pairs = zip(column.sources, column.forms, strict=True)
    return [read_number(pl.col(name).str.strip_chars(), form) for name, form in pairs]


def _spell(number: pl.Expr) -> pl.Expr:
    return number.round_sig_figs(12).cast(pl.String).str.strip_suffix(".0")


def _sum(column: DerivedColumn) -> pl.Expr:
    first, *rest = _numbers(column)
    for number in rest:
        first = first + number
    return _spell(first)


def _difference(column: DerivedColumn) -> pl.Expr:
    first, second = _numbers(column)
    return _spell(first - second)


def _ratio(column: DerivedColumn) -> pl.Expr:
    first, second = _numbers(column)
    return _spell(pl.when(second != 0).then(first / second))


def _days(column: DerivedColumn) -> pl.Expr:
    pairs = zip(column.sources, column.forms, strict=True)
    first, second = (read_date(source_text(name), form or ISO) for name, form in pairs)
    return (first - second).dt.total_days()


DERIVATIONS: dict[str, Callable[[DerivedColumn], pl.Expr]] = {
    "part": _part,
    "items": _items,
    "group size": _group_size,
    "sum": _sum,
    "difference": _difference,
    "ratio": _ratio,
    "days": _days,
}
