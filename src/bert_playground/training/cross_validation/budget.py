"""Budget: how long everything together may take, and what one model may take of it."""

import time
from dataclasses import dataclass

CONCLUSION = 0.07  # of the time: answering all folds and blending
GRACE = 0.04  # of the time, by which the last folds of a member that was begun may exceed it
MOST_OF_REST = 0.6  # that one encoder takes where others wait


@dataclass(frozen=True)
class Budget:
    """Seconds, from a start; None: no limit.

    Attributes:
        seconds: that everything may take.
        started: `time.perf_counter()` at the start.
    """

    seconds: float | None
    started: float

    @property
    def left(self) -> float:
        """Seconds that may still go into fitting; infinite without a limit."""
        if self.seconds is None:
            return float("inf")
        return self.seconds * (1 - CONCLUSION) - (time.perf_counter() - self.started)

    def lets_finish(self, seconds: float) -> bool:
        """Whether so much more fits into the time and its grace."""
        return self.seconds is None or seconds <= self.left + GRACE * self.seconds

    def share(self, num_fits: int, num_processes: int, *, others_wait: bool) -> float | None:
        """What one of the fits that a member still needs may take; None: as long as it likes.

        Args:
            num_fits: of this member that are to come.
            num_processes: that fit side by side.
            others_wait: whether other encoders come after it.
        """
        if self.seconds is None:
            return None
        rest = max(self.left, 0.0) * (MOST_OF_REST if others_wait else 1.0)
        return rest / num_fits * min(num_processes, num_fits)
