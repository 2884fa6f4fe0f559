"""Paired: the difference of two runs on the same folds or rows, with its standard error, and what that shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_playground.lookup import count_of
from bert_playground.training.metrics.scorer import METRICS

Array = np.ndarray[Any, Any]
ERRORS = 2.0  # standard errors from which a difference counts as shown


@dataclass(frozen=True)
class Paired:
    """How two runs differ in one measure.

    Attributes:
        first: the name of the run that is judged.
        second: the name of the one that it is judged against.
        measure: such as accuracy.
        gain: by how much the first is better, whatever the direction of the measure; negative: it is worse.
        error: standard error of `gain`, paired.
        units: what the pairs are: "folds" or "rows".
        num_pairs: of them.
    """

    first: str
    second: str
    measure: str
    gain: float
    error: float
    units: str
    num_pairs: int

    @classmethod
    def of(cls, first: str, second: str, measure: str, gains: Array, units: str) -> "Paired":
        """From the gain of each pair, of which there are at least two."""
        error = float(np.std(gains, ddof=1) / np.sqrt(len(gains)))
        return cls(first, second, measure, float(np.mean(gains)), error, units, len(gains))

    @property
    def is_shown(self) -> bool:
        """Whether the difference is beyond two standard errors."""
        return self.gain != 0 and abs(self.gain) > ERRORS * self.error

    def say(self) -> str:
        """One sentence."""
        by = f"{abs(self.gain):.4f} ± {self.error:.4f}"
        pairs = f"paired over {count_of(self.num_pairs, self.units.removesuffix('s'))}"
        better, worse = (self.first, self.second) if self.gain >= 0 else (self.second, self.first)
        if self.gain == 0:
            return f"{self.measure}: {self.first} and {self.second} are equal ({pairs})"
        verdict = "" if self.is_shown else ": not shown to be better"
        return f"{self.measure}: {better} is better than {worse} by {by}{verdict} ({pairs})"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "run": self.first,
            "against": self.second,
            "measure": self.measure,
            "gain": self.gain,
            "standard_error": self.error,
            "pairs": self.num_pairs,
            "units": self.units,
            "is_shown": self.is_shown,
            "says": self.say(),
        }


def direction(measure: str) -> float:
    """1 where more of a metric is better, else -1."""
    known = METRICS.get(measure.removeprefix("val_"))
    return 1.0 if known is not None and known.higher_is_better else -1.0
