"""parse_timestamps: when the rows of a table happened, as numbers that can be ordered."""

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import DATE_PATTERN, clean, infer_all
from bert_playground.data.columns.parsing import (
    CLOCK,
    PLAIN,
    hour_of_day,
    infer_date,
    infer_number,
    infer_numeric_date,
    read_date,
    read_number,
)
from bert_playground.lookup import shorten

ISO = "%Y-%m-%d"
MINUTES = r"(?:^|[ T])[0-9]{1,2}:([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?"


def infer_time_form(column: pl.Series) -> str | None:
    """How times are spelt: a date format such as "%d.%m.%Y", "" or another spelling of numbers; None: they are no times."""
    values = clean(column).drop_nulls()
    if not len(values):
        return None
    if values.str.contains(DATE_PATTERN).all():
        return ISO
    spelling = infer_number(values)
    if spelling == PLAIN:
        return spelling
    return infer_date(values) or spelling or infer_numeric_date(values)


def parse_timestamps(column: pl.Series, form: str | None = None) -> np.ndarray:
    """[R] seconds of a column of dates, or the numbers of a column of numbers, such as years or steps.

    Args:
        column: in text.
        form: from `infer_time_form`; None: inferred from this column.

    Raises:
        ValueError: the column holds neither, or some rows have no time.
    """
    form = infer_time_form(column) if form is None else form
    if form is None:
        raise ValueError(
            f"column {column.name!r} holds neither dates nor numbers, such as {column[0]!r}, so its rows cannot be "
            "ordered by time; give another with data.time_column"
        )
    values = read_times(column, form)
    missing = (values.is_null().arg_true() + 1).to_list()
    if missing:
        raise ValueError(
            f"column {column.name!r} has no time in {len(missing)} of {len(values)} rows (rows "
            f"{shorten(map(str, missing))}, counted from 1 below the header); remove these rows or complete them"
        )
    return values.to_numpy().astype(np.float64)


def read_times(column: pl.Series, form: str) -> pl.Series:
    """Seconds or numbers of a column in text as f64, null where a cell is neither.

    Args:
        column: in text.
        form: a date's format such as "%d.%m.%Y", or a spelling of numbers.
    """
    time = pl.col("time")
    read = _read_seconds(time, form) if "%" in form else read_number(time, form)
    return clean(column).to_frame("time").select(read.cast(pl.Float64)).to_series()


def _read_seconds(value: pl.Expr, form: str) -> pl.Expr:
    start = 3600 * hour_of_day(value)
    if form != CLOCK:
        start = read_date(value, form).cast(pl.Datetime).dt.epoch("s") + start.fill_null(0)
    minutes, seconds = (
        value.str.extract(MINUTES, part).cast(pl.Float64).fill_null(0.0) for part in (1, 2)
    )
    return start + 60 * minutes + seconds


def find_time_column(frame: pl.DataFrame) -> str:
    """The only column of dates.

    Raises:
        ValueError: there is none, or several.
    """
    kinds = infer_all(frame)
    found = [name for name, kind in kinds.items() if kind.name == "date" and kind.spelling != CLOCK]
    if len(found) == 1:
        return found[0]
    reason = f"several columns hold dates: {shorten(found)}" if found else "no column holds dates"
    raise ValueError(
        f"a split by time needs the time of each row, but {reason}; name it with data.time_column"
    )
