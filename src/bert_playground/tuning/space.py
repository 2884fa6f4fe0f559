"""Space: settings and the values that they may take; Range and Choice suggest one of them to a trial."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included.

    Attributes:
        low: the least.
        high: the most.
        log: whether they are drawn evenly by their logarithm.
        step: between neighbours; None: any.
        is_integer: whole numbers alone.
        relative: factors of what the recipe chooses for the trial, instead of the value itself.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    is_integer: bool = False
    relative: bool = False

    @property
    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        if self.is_integer and not self.relative:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def decode(self, stored: Any) -> Any:
        """The value of the setting, or its factor, from what Optuna stores."""
        return stored

    def encode(self, value: Any) -> Any | None:
        """What Optuna stores for a value; None: the range does not hold it."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number and self.distribution._contains(value) else None

    def to_dict(self) -> dict[str, Any]:
        """As in a file of spaces."""
        given: dict[str, Any] = {"low": self.low, "high": self.high}
        given |= {"log": True} if self.log else {}
        given |= {} if self.step is None else {"step": self.step}
        return given | ({"relative": True} if self.relative else {})


@dataclass(frozen=True)
class Choice:
    """A few values.

    Attributes:
        values: of the setting; lists and mappings too.
    """

    values: tuple[Any, ...]

    @property
    def distribution(self) -> BaseDistribution:
        """The same for Optuna, which stores the values as JSON: it knows no lists."""
        return CategoricalDistribution([spell_choice(value) for value in self.values])

    def decode(self, stored: Any) -> Any:
        """The value of the setting from what Optuna stores."""
        return next(value for value in self.values if spell_choice(value) == stored)

    def encode(self, value: Any) -> Any | None:
        """What Optuna stores for a value; None: it is not among them."""
        spelt = spell_choice(value)
        return spelt if spelt in map(spell_choice, self.values) else None

    def to_dict(self) -> list[Any]:
        """As in a file of spaces."""
        return list(self.values)


Dimension = Range | Choice


@dataclass(frozen=True)
class Space:
    """Dotted path of a setting → what it may be.

    Attributes:
        dimensions: by path.
    """

    dimensions: Mapping[str, Dimension]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """All of them for Optuna."""
        return {path: each.distribution for path, each in self.dimensions.items()}

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Path → what the sampler proposes."""
        return {
            path: each.decode(_suggest(trial, path, each.distribution))
            for path, each in self.dimensions.items()
        }

    def decode(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Path → value, or factor, of the parameters of a trial."""
        known = {path: each for path, each in self.dimensions.items() if path in stored}
        return {path: each.decode(stored[path]) for path, each in known.items()}

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The parameters that stand for these values, or factors; None: the space does not hold all of them."""
        found = {}
        for path, each in self.dimensions.items():
            if path not in values or (stored := each.encode(values[path])) is None:
                return None
            found[path] = stored
        return found

    def to_dict(self) -> dict[str, Any]:
        """As in a file of spaces."""
        return {path: each.to_dict() for path, each in self.dimensions.items()}


def _suggest(trial: optuna.Trial, path: str, asked: BaseDistribution) -> Any:
    if isinstance(asked, CategoricalDistribution):
        return trial.suggest_categorical(path, asked.choices)
    if isinstance(asked, IntDistribution):
        return trial.suggest_int(path, asked.low, asked.high, step=asked.step, log=asked.log)
    assert isinstance(asked, FloatDistribution)
    return trial.suggest_float(path, asked.low, asked.high, step=asked.step, log=asked.log)


def spell_choice(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, sort_keys=True, default=str)


def place_value(dimension: Dimension, value: Any) -> float:
    """Where a value lies on its axis, 0 to 1."""
    if isinstance(dimension, Choice):
        return dimension.values.index(value) / max(1, len(dimension.values) - 1)
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = log(low), log(high), log(value)
    return float((value - low) / (high - low))


def measure_distance(space: Space, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """Mean over the settings: of numbers their distance as a share of the axis, of choices 1 where they differ (Gower, 1971)."""
    parts = []
    for path, each in space.dimensions.items():
        one, other = ours[path], theirs[path]
        is_choice = isinstance(each, Choice)
        parts.append(
            float(one != other)
            if is_choice
            else abs(place_value(each, one) - place_value(each, other))
        )
    return sum(parts) / len(parts)


def list_dimensions(space: Space) -> list[tuple[str, str]]:
    """Path and range or values, in words."""
    return [(path, describe_dimension(each)) for path, each in space.dimensions.items()]


def describe_dimension(dimension: Dimension) -> str:
    """Such as "0.25 to 4, log, times the recipe's", or "auto, key_value"."""
    if isinstance(dimension, Choice):
        return ", ".join("none" if value is None else str(value) for value in dimension.values)
    words = [f"{dimension.low:g} to {dimension.high:g}"]
    words += [f"in steps of {dimension.step:g}"] if dimension.step is not None else []
    words += ["log"] if dimension.log else []
    words += ["times what the recipe chooses"] if dimension.relative else []
    return ", ".join(words)
