"""HorizonEncoder: the next values of a series, one column for each step."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from bert_playground.data.targets.label_encoder import (
    clean_labels,
    is_better_logged,
    read_numbers,
    require_labels,
)
from bert_playground.lookup import shorten


@dataclass(frozen=True)
class HorizonEncoder:
    """The next values of a series in a column each, standardised step by step: [R, S].

    Attributes:
        columns: their names, in the order of the steps.
        means: of each step's (log) training targets.
        scales: their standard deviations.
        uses_log: whether all are learned as log1p.
    """

    columns: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    uses_log: bool = False
    task: str = "timeseries"

    @classmethod
    def fit(cls, labels: pl.DataFrame) -> Self:
        """Learn from the columns of the training rows.

        Raises:
            ValueError: missing values, no numbers, or steps that never change.
        """
        values = _read_steps(labels)
        uses_log = is_better_logged(values.reshape(-1))
        values = np.log1p(values) if uses_log else values
        scales = values.std(axis=0)
        if constant := [
            name for name, scale in zip(labels.columns, scales, strict=True) if scale == 0
        ]:
            raise ValueError(
                f"targets {shorten(constant)} have a single value: nothing to learn; leave them out of --target"
            )
        means = tuple(values.mean(axis=0).tolist())
        return cls(tuple(labels.columns), means, tuple(scales.tolist()), uses_log)

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def num_labels(self) -> int:
        """S."""
        return len(self.columns)

    def encode(self, labels: pl.DataFrame) -> np.ndarray:
        """[R, S] float32, standardised; ValueError on missing values or words."""
        values = _read_steps(labels.select(self.columns))
        if self.uses_log:
            if (values <= -1).any():
                raise ValueError(
                    f"targets {shorten(self.columns)} go down to {values.min():g}, but all training targets were positive"
                )
            values = np.log1p(values)
        return ((values - self.means) / self.scales).astype(np.float32)

    def in_units(self, scores: np.ndarray) -> np.ndarray:
        """Standardised values [R, S] in the units of the targets."""
        values = np.asarray(scores, dtype=np.float64) * self.scales + self.means
        return np.asarray(np.expm1(values) if self.uses_log else values)

    def decode(self, scores: np.ndarray, thresholds: Sequence[float] | None = None) -> pl.DataFrame:
        """One column for each step, in original units."""
        del thresholds
        values = self.in_units(scores)
        return pl.DataFrame({name: values[:, i] for i, name in enumerate(self.columns)})

    def probabilities(self, scores: np.ndarray) -> pl.DataFrame:
        """There are none."""
        raise ValueError(
            "probabilities need classes, but the task is timeseries; leave out --proba"
        )

    def describe(self) -> str:
        """One phrase."""
        form = "log1p, then " if self.uses_log else ""
        return f"{len(self.columns)} steps, {shorten(self.columns)}, learned as {form}standardised"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `read_encoder` reads."""
        return {"form": "steps", **asdict(self)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        columns, means, scales = (tuple(state[name]) for name in ("columns", "means", "scales"))
        return cls(columns, means, scales, state["uses_log"])


def _read_steps(labels: pl.DataFrame) -> np.ndarray:
    for name in labels.columns:
        require_labels(labels[name])
    return np.stack([read_numbers(clean_labels(labels[name])) for name in labels.columns], axis=1)
