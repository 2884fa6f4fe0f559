"""respell: the cells of a later column that mean values of training and are written otherwise, with the one reading each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from bert_playground.data.columns.parsing import (
    COMMA,
    COMPACT,
    DATE_FORMATS,
    PLAIN,
    WORDED,
    read_items,
)
from bert_playground.data.drift.cells import (
    extract_rest,
    read_strictly,
    spell_days,
    spell_number,
)
from bert_playground.data.drift.profile import ColumnProfile

TRUE = ("true", "yes", "y", "t", "1", "1.0", "on")
FALSE = ("false", "no", "n", "f", "0", "0.0", "off")
NUMBER_WORD = r"^[-+]?[0-9]+(?:\.[0-9]+)?$"
CLOCK_END = r"([ T][0-9]{1,2}:[0-9]{2}.*)$"
LIST_SEPARATORS = ("|", ";", ",", "[")
STRING = pl.String


class Respelling(NamedTuple):
    """Cells and how training writes them, row by row."""

    old: pl.Series
    new: pl.Series


def respell(profile: ColumnProfile, cells: pl.Series, unknown: pl.Series) -> Respelling:
    """Find the one reading of cells that training did not know; those with none or several are left out.

    A pure function of what training saw and of the distinct cells, whatever their order.

    Args:
        profile: of the column.
        cells: its distinct cells, without blanks around them and missing ones.
        unknown: those of them that were not read as the column's.
    """
    if profile.form == "number":
        found = _respell_numbers(profile, cells, unknown)
    elif profile.form == "date":
        found = _respell_dates(profile, cells)
    elif profile.form == "list" and profile.knows_values:
        found = _respell_lists(profile, cells, unknown)
    elif profile.form == "category" and profile.knows_values:
        found = match_values(profile.values, unknown)
    else:
        found = pl.Series([None] * len(unknown), dtype=STRING)
    old = cells if len(found) == len(cells) else unknown
    kept = (found.is_not_null() & (found != old)).fill_null(False)
    return Respelling(old.filter(kept), found.filter(kept))


def match_values(known: Sequence[str], cells: pl.Series) -> pl.Series:
    """[R] the one known value that each cell means; null where there is none, or several.

    Equal but for case and blanks; or equal as numbers (101.0 and 101); or, of a column of two values that mean yes and
    no, equal in meaning.

    Args:
        known: distinct values of training.
        cells: distinct cells that are none of these.
    """
    values = pl.Series("value", list(known), dtype=STRING)
    cells = cells.alias("value").cast(STRING)
    found = _match(_fold(values), values, _fold(cells))
    numbers = _match(_as_number(values), values, _as_number(cells))
    found = found.zip_with(found.is_not_null(), numbers)
    meanings = _meaning(_fold(values))
    # Two values, both with a meaning: more would leave it open which one is meant.
    if len(values) == 2 and not meanings.has_nulls() and meanings.n_unique() == 2:
        found = found.zip_with(
            found.is_not_null(), _match(meanings, values, _meaning(_fold(cells)))
        )
    return found


def _match(keys: pl.Series, values: pl.Series, wanted: pl.Series) -> pl.Series:
    table = pl.DataFrame({"key": keys, "value": values}).drop_nulls()
    table = table.unique("key", keep="none", maintain_order=True)
    return wanted.replace_strict(table["key"], table["value"], default=None, return_dtype=STRING)


def _fold(values: pl.Series) -> pl.Series:
    """Without differences of case, of blanks, and of how letters with accents are composed."""
    plain = values.str.normalize("NFKC").str.replace_all(r"\s+", " ")
    return plain.str.strip_chars().str.to_lowercase()


def _as_number(values: pl.Series) -> pl.Series:
    cell = pl.col("cell")
    number = pl.when(cell.str.contains(NUMBER_WORD)).then(cell.cast(pl.Float64, strict=False))
    # Numbers beyond 2^53 are equal as floats without being equal.
    exact = pl.when(number.abs() < 2**53).then(number)
    return values.str.strip_chars().alias("cell").to_frame().select(exact).to_series()


def _meaning(folded: pl.Series) -> pl.Series:
    old, new = [*TRUE, *FALSE], [True] * len(TRUE) + [False] * len(FALSE)
    return folded.replace_strict(old, new, default=None, return_dtype=pl.Boolean)


def _respell_numbers(profile: ColumnProfile, cells: pl.Series, unknown: pl.Series) -> pl.Series:
    nothing = pl.Series([None] * len(unknown), dtype=STRING)
    if set(profile.edges) == {0.0, 1.0}:
        words = spell_number(pl.Series([0.0, 1.0]), profile.spelling).to_list()
        found = match_values(words, unknown)
        if found.null_count() < len(found):
            return found
    digits = cells.filter(cells.str.contains("[0-9]"))
    if not unknown.str.contains("[0-9]").any():
        return nothing
    readings = [_read_otherwise(profile, digits, spelling) for spelling in (PLAIN, WORDED, COMMA)]
    numbers = _choose_reading(profile, digits, [each for each in readings if each is not None])
    if numbers is None:
        return nothing
    spelled = spell_number(numbers, profile.spelling)
    own = read_strictly(digits, "number", profile.spelling)
    spelled = spelled.set((own == numbers).fill_null(False), None)
    return cells.replace_strict(digits, spelled, default=None, return_dtype=STRING)


def _read_otherwise(profile: ColumnProfile, digits: pl.Series, spelling: str) -> pl.Series | None:
    """The cells as numbers of another spelling; None: it does not read all, or they have units that training lacks."""
    if spelling == profile.spelling:
        return None
    numbers = read_strictly(digits, "number", spelling)
    if numbers.has_nulls():
        return None
    known = {"", *profile.units}
    if spelling != PLAIN and not set(extract_rest(digits, spelling).unique()) <= known:
        return None
    return numbers


def _choose_reading(
    profile: ColumnProfile, digits: pl.Series, readings: Sequence[pl.Series]
) -> pl.Series | None:
    """The only reading; of several, or where cells would read otherwise than they do, the one among the numbers of training."""
    own = read_strictly(digits, "number", profile.spelling)
    distinct = [
        each
        for place, each in enumerate(readings)
        if not any(each.equals(other) for other in readings[:place])
    ]
    if len(distinct) == 1:
        moved = ((own != distinct[0]) & own.is_not_null()).fill_null(False)
        if not moved.any() or _is_within(profile, distinct[0].filter(moved)).all():
            return distinct[0]
        return None
    inside = [_is_within(profile, each) for each in distinct]
    fitting = [each for each, is_inside in zip(distinct, inside, strict=True) if is_inside.all()]
    is_clear = sum(bool(is_inside.any()) for is_inside in inside) == 1
    return fitting[0] if len(fitting) == 1 and is_clear else None


def _is_within(profile: ColumnProfile, numbers: pl.Series) -> np.ndarray:
    values = numbers.to_numpy()
    if not profile.edges:
        return np.zeros(len(values), dtype=bool)
    return np.asarray((values >= profile.edges[0]) & (values <= profile.edges[-1]))


def _respell_dates(profile: ColumnProfile, cells: pl.Series) -> pl.Series:
    """All cells in training's format, if one other format reads them all, or one that has day and month in the same order."""
    nothing = pl.Series([None] * len(cells), dtype=STRING)
    if "%H" in profile.spelling or not len(cells):
        return nothing
    found: dict[str, pl.Series] = {}
    for spelling in ("", *DATE_FORMATS[1:], COMPACT):
        if spelling == profile.spelling or not cells.str.contains(_likely(spelling)).all():
            continue
        days = read_strictly(cells, "date", spelling)
        if not days.has_nulls() and not any(days.equals(each) for each in found.values()):
            found[spelling] = days
    if len(found) > 1:
        order = _order_of_parts(profile.spelling)
        found = {name: days for name, days in found.items() if _order_of_parts(name) == order}
    if len(found) != 1:
        return nothing
    (days,) = found.values()
    ends = cells.str.extract(CLOCK_END, 1).fill_null("")
    return spell_days(days, profile.spelling) + ends


def _likely(spelling: str) -> str:
    """What every cell of a format matches, so that no other format need be tried in earnest."""
    mark = next((mark for mark in "./, -" if mark in (spelling or "%Y-%m-%d")), "")
    return rf"[0-9].*[{mark}]|[{mark}].*[0-9]" if mark else r"^[0-9]{8}$"


def _order_of_parts(spelling: str) -> str:
    letters = (spelling or "%Y-%m-%d").replace("%b", "%m").replace("%B", "%m")
    return "".join(letter for letter in letters.lower() if letter in "ymd")


def _respell_lists(profile: ColumnProfile, cells: pl.Series, unknown: pl.Series) -> pl.Series:
    """Items in the words of training, between training's separator."""
    known = set(profile.values)
    for separator in (profile.spelling, *LIST_SEPARATORS):
        items = cells.to_frame("v").select(read_items(pl.col("v"), separator)).to_series()
        flat = items.explode().drop_nulls().unique()
        strange = flat.filter(~flat.is_in(list(known)))
        meant = match_values(profile.values, strange)
        is_own = separator == profile.spelling
        if meant.null_count() < len(meant) if is_own else len(flat) and not meant.has_nulls():
            words = dict(zip(strange.to_list(), meant.fill_null(strange).to_list(), strict=True))
            joint = ", " if profile.spelling == "[" else profile.spelling
            texts = items.list.eval(pl.element().replace(words)).list.join(joint)
            whole = "[" + texts + "]" if profile.spelling == "[" else texts
            return cells.zip_with(~cells.is_in(unknown.to_list()), whole)
    return pl.Series([None] * len(unknown), dtype=STRING)
