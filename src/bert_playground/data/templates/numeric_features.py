"""NumericColumn: a number or date column as quantiles of the training rows; fit_numeric: those of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.kinds import Kind, as_kind, infer_all
from bert_playground.data.columns.timestamps import ISO, read_times
from bert_playground.data.reading.table import require_columns
from bert_playground.data.templates.features import Feature
from bert_playground.lookup import shorten

OFF, AUTO = "off", "auto"
MAX_KNOTS = 1024
# A value on very many rows, such as 0, counts as this part of them at most, so that the others stay apart.
LARGEST_SHARE = 1 / 16
LARGEST = 1e300  # differences of larger numbers would overflow


@dataclass(frozen=True)
class NumericColumn:
    """How the cells of a column become numbers from 0 to 1 that are spread evenly over the training rows.

    Attributes:
        column: where they come from.
        form: how numbers or dates are spelt; see `read_times`.
        values: numbers of the training rows, ascending.
        shares: of the training rows below each of them, from 0 to 1; in between it is a straight line.
    """

    column: str
    form: str
    values: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or len(self.values) != len(self.shares):
            raise ValueError(
                f"numeric feature {self.column!r} has {len(self.values)} values and {len(self.shares)} shares, expected as "
                "many, and at least one"
            )

    def encode(self, column: pl.Series) -> np.ndarray:
        """[R] in f32, from 0 to 1 also for values beyond those of the training rows; NaN where there is none."""
        numbers = np.clip(read_times(column, self.form).to_numpy(), -LARGEST, LARGEST)
        shares: np.ndarray = np.interp(numbers, self.values, self.shares)
        return shares.astype(np.float32)

    @property
    def feature(self) -> Feature:
        """The same as a piece that no text is made of."""
        kind = "date" if "%" in self.form else "number"
        return Feature(self.column, self.column, kind, spelling=self.form)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        lists = {name: tuple(state[name]) for name in ("values", "shares")}
        return cls(**{**state, **lists})


def fit_numeric(
    frame: pl.DataFrame,
    asked: str | Sequence[str],
    *,
    skip: Sequence[str] = (),
    not_auto: Sequence[str] = (),
    given_kinds: Mapping[str, str] | None = None,
) -> tuple[NumericColumn, ...]:
    """Learn from training rows how numbers stand beside the text.

    Args:
        frame: the training rows and nothing else, all cells as text.
        asked: "off", "auto" for every column of numbers or dates, or names of columns.
        skip: columns that must not be read: the target and what the user drops.
        not_auto: not read either unless asked for by name, such as the id and free text.
        given_kinds: names in KINDS for columns whose kind is not to be inferred.

    Raises:
        ValueError: columns that are not there, must not be read, or hold neither numbers nor dates; all are listed.
    """
    if asked == OFF:
        return ()
    given = given_kinds or {}
    if asked == AUTO:
        names = [name for name in frame.columns if name not in (*skip, *not_auto)]
    else:
        names = list(dict.fromkeys(asked))
        check_names(frame, names, skip)
    inferred = infer_all(frame, [name for name in names if name not in given])
    kinds = {
        name: inferred[name] if name in inferred else as_kind(frame[name], given[name])
        for name in names
    }
    wrong = [name for name, kind in kinds.items() if kind.name not in ("number", "date")]
    if wrong and asked != AUTO:
        shown = [f"{name} (such as {_first_value(frame[name])!r})" for name in wrong]
        raise ValueError(
            f"data.numeric_features names columns without different numbers or dates: {shorten(shown)}; leave them out, "
            "or say what they are with data.kinds"
        )
    return tuple(
        _fit_column(frame[name], kind) for name, kind in kinds.items() if name not in wrong
    )


def check_names(frame: pl.DataFrame, names: list[str], skip: Sequence[str]) -> None:
    """Refuse columns that are not there, or must not be read.

    Raises:
        ValueError: all of them are listed.
    """
    told = [name for name in names if name in skip]
    if told:
        raise ValueError(
            f"data.numeric_features names {shorten(told)}, which must not be read: a target, or left out with "
            "data.drop_columns; take it out of one of both"
        )
    where = "the training table, asked for data.numeric_features (off, auto or columns),"
    require_columns(frame, names, where)


def encode_numeric(columns: Sequence[NumericColumn], frame: pl.DataFrame) -> np.ndarray:
    """[R, F] in f32, one column for each: see `NumericColumn.encode`; NaN where the table has no such column."""
    none = np.full(frame.height, np.nan, np.float32)
    return np.stack(
        [
            each.encode(frame[each.column]) if each.column in frame.columns else none
            for each in columns
        ],
        axis=1,
    )


def _first_value(column: pl.Series) -> str:
    values = column.drop_nulls()
    return str(values[0]) if len(values) else ""


def _fit_column(column: pl.Series, kind: Kind) -> NumericColumn:
    is_iso = kind.name == "date" and not kind.spelling
    return fit_values(column, ISO if is_iso else kind.spelling)


def fit_values(column: pl.Series, form: str) -> NumericColumn:
    """Learn from the cells of training rows, at least one of them a number that is spelt so."""
    numbers = read_times(column, form).drop_nulls().to_numpy()
    values, shares = spread_evenly(np.clip(numbers, -LARGEST, LARGEST))
    return NumericColumn(column.name, form, tuple(values.tolist()), tuple(shares.tolist()))


def spread_evenly(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some of the numbers, ascending, and the share of all that lies below each, stretched to begin at 0 and end at 1.

    Args:
        numbers: [N], finite, at least one.
    """
    distinct, counts = np.unique(numbers, return_counts=True)
    mass = np.minimum(counts, max(1.0, len(numbers) * LARGEST_SHARE))
    middles = np.cumsum(mass) - mass / 2
    if len(distinct) == 1:
        return distinct, np.array([0.5])
    shares = (middles - middles[0]) / (middles[-1] - middles[0])
    if len(distinct) > MAX_KNOTS:
        kept = np.unique(np.searchsorted(shares, np.linspace(0, 1, MAX_KNOTS)))
        distinct, shares = distinct[kept], shares[kept]
    return distinct, shares


Numbers = tuple[NumericColumn, ...]
TokenRanges = tuple[tuple[int, int], ...]


def read_numbers(state: Sequence[Mapping[str, Any]] | None) -> Numbers:
    """What pipeline.json holds of them; None: it was written before there were any."""
    return tuple(NumericColumn.from_dict(column) for column in state or ())


def read_token_ranges(state: Sequence[Sequence[int]] | None) -> TokenRanges:
    """What pipeline.json holds of the tokens that numbers are added to; None: it was written before there were any."""
    return tuple((int(start), int(end)) for start, end in state or ())
