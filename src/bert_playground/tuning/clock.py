"""Clock: how much time a study has, what is kept for its verdict, and how long its trials take."""

import time
from dataclasses import dataclass, field
from statistics import median

CONCLUSION = 4.0  # seconds for pictures and files at the end
MOST_RESERVED = 0.4  # of the time
SLACK = 1.15  # trainings of the verdict may take longer than the same ones in the search


@dataclass
class Clock:
    """The time of one process on a study.

    Attributes:
        seconds: that it may take; None: no limit.
        num_pairs: trainings by the defaults and by the best trial that the verdict wants; 0: no verdict.
        started: `time.perf_counter()` at the start.
        taken: seconds of the trials so far.
        defaults: seconds of the run by the defaults; None: not known yet.
        best: seconds of the best trial.
    """

    seconds: float | None
    num_pairs: int
    started: float = field(default_factory=time.perf_counter)
    taken: list[float] = field(default_factory=list)
    defaults: float | None = None
    best: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        """Seconds until the end of everything but the conclusion."""
        if self.seconds is None:
            return float("inf")
        return self.seconds - min(CONCLUSION, 0.1 * self.seconds) - self.elapsed

    @property
    def pair(self) -> float:
        """Seconds of one pair of trainings of the verdict."""
        defaults = self.defaults or 0.0
        return SLACK * (defaults + (self.best or defaults))

    @property
    def search_left(self) -> float:
        """Seconds until the trials end and the verdict begins."""
        if self.seconds is None:
            return float("inf")
        return self.left - min(self.num_pairs * self.pair, MOST_RESERVED * self.seconds)

    @property
    def has_time_for_trial(self) -> bool:
        """Whether one more trial is likely to end in time."""
        usual = median(self.taken) if self.taken else self.defaults or 0.0
        return self.search_left > usual
