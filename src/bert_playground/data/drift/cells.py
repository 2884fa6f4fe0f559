"""read_strictly: cells as numbers, null unless they are written just as a column's numbers or dates are."""

from math import isnan

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import DATE_PATTERN, MISSING, NONE
from bert_playground.data.columns.parsing import (
    CLOCK,
    COMMA,
    COMMA_NUMBER,
    DECIMAL_COMMA,
    NUMBER,
    PLAIN,
    SCALED,
    SCALES,
    THOUSANDS,
    hour_of_day,
    read_date,
    read_number,
)

_SEPARATORS = r"([0-9])[ \x{A0}\x{202F}'\x{2019}]([0-9]{3})"
SIGNED = r"^\((.*[0-9].*)\)$"  # an amount in parentheses is negative


def is_missing(cells: pl.Expr, *, also_none: bool) -> pl.Expr:
    """Whether cells have no value; `also_none`: "n/a" and the like are none either, as among numbers."""
    words = [*MISSING, *NONE] if also_none else list(MISSING)
    return cells.is_null() | cells.str.strip_chars().str.to_lowercase().is_in(words)


def read_strictly(cells: pl.Series, form: str, spelling: str) -> pl.Series:
    """The numbers of a column of numbers, or of dates the day since 1970, in f64; of times of day the hour.

    `read_number` takes "12,50" among numbers such as "1,250.00" for 1250; here it is null, as it is written otherwise.

    Args:
        cells: without surrounding blanks.
        form: "number" or "date".
        spelling: see parsing.py; of dates "" is ISO.
    """
    if form == "number" and spelling == PLAIN:
        numbers = cells.cast(pl.Float64, strict=False)
        return numbers.fill_nan(None) if isnan(numbers.sum() or 0.0) else numbers
    cell = pl.col("cell")
    if form == "date":
        read = _read_days(cell, spelling)
    else:
        read = pl.when(_fits(cell, spelling)).then(read_number(cell, spelling))
    return cells.alias("cell").to_frame().select(read.cast(pl.Float64)).to_series()


def extract_rest(cells: pl.Series, spelling: str) -> pl.Series:
    """What stands around the digits of each number, such as a unit or the sign of a currency, in lower case."""
    digits = COMMA_NUMBER if spelling == COMMA else NUMBER
    cell = _plain(pl.col("cell"))
    bare = pl.concat_str(
        cell.str.extract(r"^[-+]?\s*([^-+0-9.,\s]*)", 1).fill_null(""),
        cell.str.extract(digits, 3).fill_null("").str.strip_chars(),
    )
    rest = bare.str.to_lowercase().str.replace(r"([a-z]{2})(?:e|es|s)$", "${1}")
    return cells.alias("cell").to_frame().select(rest).to_series()


def _plain(cell: pl.Expr) -> pl.Expr:
    joined = cell.str.replace("\N{MINUS SIGN}", "-", literal=True).str.replace(SIGNED, "-${1}")
    return joined.str.replace_all(_SEPARATORS, "${1}${2}")


def _fits(cell: pl.Expr, spelling: str) -> pl.Expr:
    number, form = (COMMA_NUMBER, DECIMAL_COMMA) if spelling == COMMA else (NUMBER, THOUSANDS)
    cell = _plain(cell)
    digits, rest = cell.str.extract(number, 2), cell.str.extract(number, 3)
    fits = digits.str.contains(form) & ~rest.str.contains(r"^[.,]?[0-9]")
    if spelling == SCALED:
        return fits & rest.str.strip_chars().is_in(["", *SCALES])
    if spelling == COMMA:
        return fits & ~digits.str.contains(r"^0\.[0-9]{3}")  # no thousands stand behind a nought
    return fits & ~digits.str.contains(r"^0,[0-9]")


def _read_days(cell: pl.Expr, spelling: str) -> pl.Expr:
    if spelling == CLOCK:
        return hour_of_day(cell)
    if spelling:
        days = read_date(cell, spelling)
        days = pl.when(days.dt.year() >= 1000).then(days)  # "20" is no year of four digits
    else:
        iso = pl.when(cell.str.contains(DATE_PATTERN)).then(cell.str.slice(0, 10))
        days = iso.str.to_date("%Y-%m-%d", strict=False)
    return days.dt.epoch("d")


def spell_number(numbers: pl.Series, spelling: str) -> pl.Series:
    """Numbers as cells that `read_strictly` reads back, without separators of thousands."""
    text = numbers.cast(pl.String).str.strip_suffix(".0")
    return text.str.replace(".", ",", literal=True) if spelling == COMMA else text


def spell_days(days: pl.Series, spelling: str) -> pl.Series:
    """Days since 1970 as cells in a format; "" is ISO."""
    dates = days.cast(pl.Int32).cast(pl.Date)
    return dates.dt.strftime(spelling or "%Y-%m-%d")


def cumulate(numbers: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[E] how many of the numbers are at most each of the edges, and in a last place how many there are."""
    places = np.searchsorted(edges, numbers, side="left")
    return np.cumsum(np.bincount(places, minlength=len(edges) + 1))


def most_frequent(cells: pl.Series) -> str | None:
    """The cell on most rows, the first of equals in alphabetical order; None: there is none."""
    counts = cells.drop_nulls().alias("cell").value_counts()
    most = counts.filter(pl.col("count") == pl.col("count").max())["cell"].min()
    return None if most is None else str(most)
