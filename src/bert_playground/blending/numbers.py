"""Log odds and sigmoid; lists of finite numbers read back from a JSON document."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SMALLEST_PROBABILITY = 1e-12


def log_odds(probabilities: Array) -> Array:
    """log(p / (1 - p)), with p held 1e-12 away from 0 and 1."""
    held = np.asarray(probabilities, dtype=np.float64)
    held = np.clip(held, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(np.log(held) - np.log1p(-held))


def sigmoid(values: Array) -> Array:
    """1 / (1 + e^-x) without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, 700))))


def read_numbers(state: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """A list of finite numbers of a JSON document.

    Raises:
        ValueError: it is something else.
    """
    values = list_of(state.get(name), name)
    are_numbers = all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in values
    )
    if not are_numbers or not all(np.isfinite(each) for each in values):
        raise ValueError(
            f"{name!r} of a blend holds something that is no finite number; the file was changed: copy it again"
        )
    return tuple(float(each) for each in values)


def list_of(value: Any, name: str) -> list[Any]:
    """A list of a JSON document.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"{name!r} of a blend is {type(value).__name__}, expected a list; the file was changed: copy it again"
        )
    return list(value)
