"""propose_columns: what the cells of a row may tell together: sizes of groups, sums, differences and ratios, days between dates."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from bert_playground.data.columns.code_parts import fit_code_parts
from bert_playground.data.columns.derived_columns import DerivedColumn
from bert_playground.data.columns.kinds import Kind, clean
from bert_playground.data.columns.parsing import CLOCK, read_number

MAX_PROPOSED = 32
MAX_PAIRS = 6  # of years, and of dates
MAX_TERMS = 8
NUM_LARGEST = 3
MAX_KEYS = 20_000  # that are stored with the model
FEW_VALUES = 20  # categories of so few are no groups
SHARED = 0.1  # of the rows are in a group with others
SMALL = 10  # rows of a group, on average: beyond it is a category
ZEROS = 0.2  # of the rows of an amount that most lack
SIMILAR = 4.0  # largest ratio of the upper ends of amounts that are added
YEARS = (1500, 2200)
WORD = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+"
# What the values of a group share: all of it, what stands before the first sign, or before the last one.
KEYS = {
    "": (),
    "start": (r"^([^,/_:.#@|\\-]+)[,/_:.#@|\\-]",),
    "stem": (r"^(.+)[/_:.#@|\\-][^/_:.#@|\\-]+$",),
}


def propose_columns(
    frame: pl.DataFrame, kinds: Mapping[str, Kind], id_column: str | None = None
) -> tuple[DerivedColumn, ...]:
    """Columns that are worth a test, by rules about names, kinds and ranges; groups first.

    The size of a group counts its training rows, and the row itself: that of a new row is 1 more than the training rows
    that share its key, that of a training row their number, so that both mean the same. It depends on no other row of
    the table to predict, where a group that training did not see has size 1.

    Args:
        frame: the training rows, all cells as text.
        kinds: of the columns that may be read.
        id_column: no feature, but parts of it may be those of a group, as in "0013_01".
    """
    found = list(_find_groups(frame, kinds, id_column))
    if id_column in frame.columns and id_column not in kinds:
        found += _find_id_parts(frame[id_column])
    found += _find_days(kinds)
    found += _find_numbers(frame, kinds)
    names = {name.lower() for name in frame.columns}
    return tuple(each for each in found if each.name.lower() not in names)[:MAX_PROPOSED]


def _find_groups(
    frame: pl.DataFrame, kinds: Mapping[str, Kind], id_column: str | None
) -> Iterator[DerivedColumn]:
    strings = [
        name
        for name, kind in kinds.items()
        if kind.name in ("name", "code", "words", "category") and kind.num_distinct > FEW_VALUES
    ]
    if id_column in frame.columns and id_column not in kinds:
        strings.append(id_column)
    for name in strings:
        cells, seen = clean(frame[name]), []
        for part, patterns in KEYS.items():
            if name == id_column and not patterns:
                continue
            keys = cells
            for pattern in patterns:
                keys = keys.str.extract(pattern, 1)
            counts = keys.drop_nulls().value_counts(sort=True, name="rows")
            if _are_groups(counts["rows"], frame.height) and counts["rows"].to_list() not in seen:
                seen.append(counts["rows"].to_list())
                yield DerivedColumn(
                    f"{name} {part} group size".replace("  ", " "),
                    (name,),
                    "group size",
                    patterns,
                    keys=tuple(counts[:, 0].to_list()),
                    counts=tuple(counts["rows"].to_list()),
                )


def reaches(column: DerivedColumn, rows: pl.DataFrame) -> bool:
    """Whether other rows are as often in groups of training rows as these are with each other, or half as often.

    Args:
        column: any; one that is no size of groups reaches everywhere.
        rows: of another table.
    """
    if column.kind != "group size":
        return True
    if column.sources[0] not in rows.columns:
        return False
    sizes = rows.select(column.cell().cast(pl.Int64)).to_series()
    counts = np.array(column.counts)
    among_themselves = counts[counts > 1].sum() / counts.sum()
    among_others = float((sizes > 1).sum()) / max(1, len(sizes))
    return among_others >= float(among_themselves) / 2


def _are_groups(counts: pl.Series, num_rows: int) -> bool:
    if not FEW_VALUES < len(counts) <= MAX_KEYS:
        return False
    shared = int(counts.filter(counts > 1).sum())
    return shared >= SHARED * num_rows and counts.sum() <= SMALL * len(counts)


def _find_id_parts(column: pl.Series) -> list[DerivedColumn]:
    """Parts of an id that few values are, such as the number of a person within the group; never what orders the rows."""
    kind = Kind("code", len(column), column.n_unique())
    parts = fit_code_parts(column, kind)
    cells = column.to_frame().select(part.cell() for part in parts)
    return [part for part in parts if 1 < cells[part.name].n_unique() <= FEW_VALUES]


def _find_days(kinds: Mapping[str, Kind]) -> list[DerivedColumn]:
    dates = [name for name, kind in kinds.items() if kind.name == "date" and kind.spelling != CLOCK]
    return [
        DerivedColumn(
            f"days from {first} to {second}",
            (second, first),
            "days",
            forms=(kinds[second].spelling, kinds[first].spelling),
        )
        for first, second in list(combinations(dates, 2))[:MAX_PAIRS]
    ]


def _find_numbers(frame: pl.DataFrame, kinds: Mapping[str, Kind]) -> list[DerivedColumn]:
    forms = {name: kind.spelling for name, kind in kinds.items() if kind.name == "number"}
    numbers = {name: _read(frame[name], form) for name, form in forms.items()}
    numbers = {name: each for name, each in numbers.items() if len(np.unique(each)) > 2}
    found: dict[tuple[str, tuple[str, ...]], None] = {}
    years = [name for name, each in numbers.items() if _are_years(each)]
    for older, newer in list(combinations(years, 2))[:MAX_PAIRS]:
        pair = (newer, older) if numbers[newer].mean() >= numbers[older].mean() else (older, newer)
        found["difference", pair] = None
    amounts = [name for name in numbers if name not in years]
    families = (terms for each in _find_families(amounts) for terms in _cut(each, numbers))
    for terms in (*families, *_find_similar(amounts, numbers)):
        found["sum", terms] = None
        if len(terms) == 2:
            found["difference", terms] = None
            found["ratio", terms] = None
    for pair in _find_twins(amounts):
        found["difference", pair] = None
        found["ratio", pair] = None
    return [
        DerivedColumn(_name(kind, terms), terms, kind, forms=tuple(forms[name] for name in terms))
        for kind, terms in found
    ]


def _name(kind: str, terms: Sequence[str]) -> str:
    sign = {"sum": " + ", "difference": " - ", "ratio": " / "}[kind]
    return sign.join(terms)


def _read(column: pl.Series, form: str) -> np.ndarray:
    cells = clean(column).to_frame()
    numbers = cells.select(read_number(pl.col(column.name), form).cast(pl.Float64)).to_series()
    known: np.ndarray = numbers.filter(numbers.is_finite()).to_numpy()
    return known


def _are_years(numbers: np.ndarray) -> bool:
    inside = (numbers >= YEARS[0]) & (numbers <= YEARS[1]) & (numbers == np.round(numbers))
    return bool(inside.all())


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(WORD, name)]


def _find_families(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Columns that share a word, such as a unit: "1stFlrSF" and "2ndFlrSF"."""
    words = {name: [word for word in _words(name) if not word.isdigit()] for name in names}
    # A unit stands last; what is shared elsewhere says less.
    for chosen in (slice(-1, None), slice(None, -1)):
        by_word: dict[str, list[str]] = {}
        for name in names:
            for word in dict.fromkeys(words[name][chosen]):
                if len(word) > 1:
                    by_word.setdefault(word, []).append(name)
        yield from (tuple(each) for each in by_word.values() if len(each) > 1)


def _cut(family: tuple[str, ...], numbers: Mapping[str, np.ndarray]) -> Iterator[tuple[str, ...]]:
    """The largest of many, which are the least likely to be parts of each other; and all, if they are not too many."""
    largest = sorted(family, key=lambda name: -float(np.quantile(numbers[name], 0.9)))
    if len(family) > NUM_LARGEST:
        yield tuple(name for name in family if name in largest[:NUM_LARGEST])
    if len(family) <= MAX_TERMS:
        yield family


def _find_twins(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs whose names differ in one word: "X_Maximum" and "X_Minimum"."""
    for first, second in combinations(names, 2):
        one, other = _words(first), _words(second)
        if len(one) == len(other) > 1 and sum(a != b for a, b in zip(one, other, strict=True)) == 1:
            yield first, second


def _find_similar(
    names: Sequence[str], numbers: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, ...]]:
    """Amounts or counts that many rows lack, of one range: they may be parts of a whole."""
    ends = {}
    for name in names:
        values = numbers[name]
        is_amount = values.min() >= 0 and (values == 0).mean() >= ZEROS
        if is_amount and (values > 0).any():
            ends[name] = float(np.quantile(values[values > 0], 0.9))
    ordered = sorted(ends, key=lambda name: ends[name])
    groups: list[list[str]] = []
    for name in ordered:
        if groups and ends[name] <= SIMILAR * ends[groups[-1][0]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    for group in groups:
        if 2 <= len(group) <= MAX_TERMS:
            yield tuple(name for name in names if name in group)
