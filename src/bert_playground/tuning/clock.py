"""Clock: how much time a study has, what is kept for its verdict, and how long its trials take."""

import time
from dataclasses import dataclass, field
from statistics import median

CONCLUSION = 4.0  # seconds for pictures and files at the end
MOST_RESERVED = 0.4  # of the time
MOST_OF_SEARCH = 0.2  # of the time, that one trial takes of it, unless the defaults take as long
TIMES_DEFAULTS = 2.0
LEAST_PAIRS = 2  # that a verdict needs
SLACK = 1.15  # trainings of race and verdict may take longer than the same ones in the search
RACE = 0.2  # of the time, for the race of the best trials
RACE_ROUNDS = 2  # after which the worse half of the racers is left behind; fewer show nothing
LEAST_RACERS, MOST_RACERS = 3, 9  # the defaults among them


def halve(num_racers: int) -> int:
    """How many go on after some rounds of a race; two stay two."""
    return max(2, (num_racers + 1) // 2)


def count_fits(num_racers: int) -> int:
    """Trainings of a race until two have run their first rounds as two."""
    fits = RACE_ROUNDS * num_racers
    return fits if num_racers <= 2 else fits + count_fits(halve(num_racers))


@dataclass
class Clock:
    """The time of one process on a study.

    Attributes:
        seconds: that it may take; None: no limit.
        num_pairs: trainings by the defaults and by the best trial that the verdict wants; 0: no verdict.
        started: `time.perf_counter()` at the start.
        taken: seconds of the trials so far.
        defaults: seconds of the run by the defaults; None: not known yet.
        best: seconds of the best trial; None: none is better than the defaults yet.
        fits_per_trial: trainings of a trial: of folds several, where those of race and verdict are single.
        has_race: whether the best trials race before the verdict.
    """

    seconds: float | None
    num_pairs: int
    started: float = field(default_factory=time.perf_counter)
    taken: list[float] = field(default_factory=list)
    defaults: float | None = None
    best: float | None = None
    fits_per_trial: int = 1
    has_race: bool = False

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
        return 2 * self._fit

    @property
    def _fit(self) -> float:
        """Seconds of one training of the race or the verdict."""
        defaults = self.defaults or 0.0
        return SLACK * (defaults + (self.best or defaults)) / 2 / self.fits_per_trial

    @property
    def search_left(self) -> float:
        """Seconds until the trials end and the verdict begins."""
        if self.seconds is None:
            return float("inf")
        if self.best is None:
            wanted, most = min(self.num_pairs, LEAST_PAIRS), MOST_RESERVED / 2
        else:
            wanted, most = self.num_pairs, MOST_RESERVED
        return self.left - min(wanted * self.pair, most * self.seconds) - self._race

    @property
    def _race(self) -> float:
        """Seconds that are kept for the race; 0: there is none, or no time for one."""
        if not self.has_race or self.seconds is None:
            return 0.0
        seconds = min(RACE * self.seconds, count_fits(MOST_RACERS) * self._fit)
        return seconds if seconds >= RACE_ROUNDS * LEAST_RACERS * self._fit else 0.0

    @property
    def race_left(self) -> float:
        """Seconds until the race ends and the verdict begins."""
        if self.seconds is None:
            return float("inf")
        return self.left - min(self.num_pairs * self.pair, MOST_RESERVED * self.seconds)

    @property
    def most_racers(self) -> float:
        """How many can race, the defaults among them: with as much time again for the rounds of the better half, or a few without."""
        first_rounds = max(RACE_ROUNDS * self._fit, 1e-9)
        num = max(0.0, self.race_left) / first_rounds
        return max(num / 2, min(num, LEAST_RACERS))

    def has_time_to_race(self, num_racers: int) -> bool:
        """Whether one round more is likely to end in time."""
        return self.race_left > num_racers * self._fit

    def foresee_trials(self) -> float:
        """About how many trials as long as the run by the defaults there is time for."""
        return max(0.0, self.search_left) / max(self.defaults or 0.0, 1e-9)

    @property
    def most_of_trial(self) -> float:
        """Seconds that one trial may take, so that a slow one leaves time for others."""
        if self.seconds is None:
            return float("inf")
        return max(MOST_OF_SEARCH * self.seconds, TIMES_DEFAULTS * (self.defaults or 0.0))

    @property
    def has_time_for_trial(self) -> bool:
        """Whether one more trial is likely to end in time."""
        usual = median(self.taken) if self.taken else self.defaults or 0.0
        return self.search_left > usual
