"""attempt, seeds: what the fuzzers share: one kind of error is allowed, and seeds last until the time is used up."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any


def seeds(budget: float, first: int = 0, at_least: int = 20) -> Iterator[int]:
    """Seeds from the first on, so many at least, until the time is used up."""
    end = time.monotonic() + budget
    for seed in itertools.count(first):
        if seed >= first + at_least and time.monotonic() >= end:
            return
        yield seed


def attempt(use: Callable[[], Any]) -> tuple[Any, str | None]:
    """What came of it: the result, or the message of the one kind of error that is allowed."""
    try:
        return use(), None
    except (ValueError, FileNotFoundError) as error:
        return None, str(error)
