"""Windows: a long table of series becomes a row for each moment: what was known then, and the next values to predict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from bert_playground.data.columns.timestamps import parse_timestamps
from bert_playground.data.reading.table import require_columns
from bert_playground.lookup import shorten

LARGEST = 10_000  # lags, steps: each is a column
# Columns beside those of the table: of the row, and of its last target.
MOMENTS = ("__time", "__end")


class WindowTable(NamedTuple):
    """Rows of windows.

    A row has all columns as they were at its moment, and "VALUE lag 1" (the value of that moment) to "VALUE lag L";
    where the future is known, "VALUE +1" to "VALUE +H" too.
    """

    frame: pl.DataFrame  # R rows
    times: np.ndarray  # [R] the moment of the row
    ends: np.ndarray  # [R] the moment of the last target; nan where it is not known yet


@dataclass(frozen=True)
class Windows:
    """How windows are cut; a step is a row of its series, whatever time lies between.

    Attributes:
        value: the column to predict.
        time_column: orders the rows of a series.
        series_column: tells series apart; None: the table is one series.
        lags: L, values that are looked back on.
        horizon: H, values to predict.
        time_form: from `infer_time_form` of the training table; None: inferred from each table.
    """

    value: str
    time_column: str
    series_column: str | None
    lags: int
    horizon: int
    time_form: str | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.lags <= LARGEST and 1 <= self.horizon <= LARGEST):
            raise ValueError(
                f"windows have {self.lags} lags and a horizon of {self.horizon}, expected 1 to {LARGEST} each"
            )
        if "," in self.value:
            raise ValueError(
                f"windows look at one value column, got {self.value!r}; give one with --target, without a comma in its name"
            )

    @property
    def lag_columns(self) -> tuple[str, ...]:
        """The values of the moment itself and those before it."""
        return tuple(f"{self.value} lag {step}" for step in range(1, self.lags + 1))

    @property
    def targets(self) -> tuple[str, ...]:
        """The values to predict, in their order."""
        return tuple(f"{self.value} +{step}" for step in range(1, self.horizon + 1))

    @property
    def id_column(self) -> str:
        """What names an answer about the latest timestamps: there is one for each series."""
        return self.series_column or self.time_column

    def label(self, frame: pl.DataFrame) -> WindowTable:
        """The windows whose next H values are all in the table, in the order of series and time.

        Raises:
            ValueError: columns or times are missing, times repeat within a series, or no series is long enough.
        """
        windows = self._cut(frame)
        known = windows.drop_nulls(self.targets)
        if known.height == 0:
            raise ValueError(
                f"no series has {self.horizon + 1} rows with {self.value!r}, which a horizon of {self.horizon} needs; "
                "ask for a shorter one with data.horizon"
            )
        times, ends = (known[name].to_numpy().astype(np.float64) for name in MOMENTS)
        return WindowTable(known.drop(*MOMENTS, self.value), times, ends)

    def latest(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The window of the last moment of each series, whose next values nobody knows yet.

        Raises:
            ValueError: as for `label`.
        """
        windows = self._cut(frame)
        rows = windows.drop(*MOMENTS, self.value, *self.targets)
        if self.series_column is None:
            return rows[-1:]
        return rows.unique(self.series_column, keep="last", maintain_order=True)

    def _cut(self, frame: pl.DataFrame) -> pl.DataFrame:
        series = [] if self.series_column is None else [self.series_column]
        require_columns(frame, [self.value, self.time_column, *series], "the table of series")
        clash = sorted({*self.lag_columns, *self.targets, *MOMENTS} & set(frame.columns))
        if clash:
            raise ValueError(
                f"the table has columns that windows make: {shorten(clash)}; rename them"
            )
        frame = frame.with_columns(
            __time=pl.Series(parse_timestamps(frame[self.time_column], self.time_form))
        )
        again = frame.filter(pl.struct(*series, "__time").is_duplicated())
        if again.height:
            first = ", ".join(f"{name} {again[name][0]}" for name in (*series, self.time_column))
            raise ValueError(
                f"{again.height} rows have the time of another one in their series, such as {first}; "
                "name what tells series apart with data.series_column, or remove rows"
            )
        frame = frame.sort([*series, "__time"])

        def shifted(name: str, steps: int) -> pl.Expr:
            column = pl.col(name).shift(steps)
            return column.over(series) if series else column

        lags = [shifted(self.value, step).alias(name) for step, name in enumerate(self.lag_columns)]
        nexts = [
            shifted(self.value, -step).alias(name)
            for step, name in enumerate(self.targets, start=1)
        ]
        return frame.with_columns(*lags, *nexts, shifted("__time", -self.horizon).alias("__end"))

    def describe(self) -> str:
        """One sentence."""
        series = f" of each {self.series_column}" if self.series_column else ""
        return (
            f"windows: the next {self.horizon} values of {self.value}{series} by {self.time_column}, from the last "
            f"{self.lags} and what the other columns say at that moment"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(**state)
