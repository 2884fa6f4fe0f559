"""Warm up, repeat, evaluate; report median and spread."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of one repetition, measured several times.

    The best is what the machine can do; the median is what it did; their distance tells how quiet it was.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The smallest value."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """The distance of the quartiles as a part of the median; 0 for fewer than 2 repetitions."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median

    def to_dict(self) -> dict[str, float]:
        """Milliseconds for people, seconds kept for programs in `seconds_*`."""
        return {
            "seconds_median": self.median,
            "seconds_best": self.best,
            "spread": self.spread,
            "repetitions": len(self.seconds),
        }


def measure(work: Callable[[], object], *, repetitions: int, warm_up: int = 2) -> Timing:
    """Time `work`, which must evaluate what it computes: MLX is lazy, and an unevaluated graph costs nothing.

    Args:
        work: one repetition.
        repetitions: how many are timed.
        warm_up: how many are not: they compile, allocate and fill caches.
    """
    for _ in range(warm_up):
        work()
    gc.collect()
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return Timing(tuple(seconds))
