"""Outbox: sends in order from a thread of its own, again where it failed; it never stops or slows who fills it."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bert_playground.logger import logger

CAPACITY = 5000  # letters, after which new ones are lost
PATIENCE = 10.0  # seconds that an end waits for one letter, plus what its size takes
SLOWEST = 2**19  # bytes per second of an upload that is still waited for
OUTAGE_PATIENCE = 8.0  # seconds that an end waits for a server that was away
LONGEST_PAUSE = 30.0  # seconds between two attempts


@dataclass(frozen=True)
class Letter:
    """Something to send.

    Attributes:
        what: in words, for the account of what was lost.
        send: does it; raises where it fails.
        size: bytes that it moves.
        slowness: seconds that it may take beyond what others may.
    """

    what: str
    send: Callable[[], None]
    size: int = 0
    slowness: float = 0.0

    @property
    def patience(self) -> float:
        """Seconds that are enough for it."""
        return PATIENCE + self.slowness + self.size / SLOWEST


@dataclass
class Loss:
    """What was not sent.

    Attributes:
        counts: of letters, by what they were.
        reason: of the first of them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reason: str = ""

    def add(self, what: str, reason: str) -> None:
        """One more."""
        self.counts[what] += 1
        self.reason = self.reason or reason

    def __str__(self) -> str:
        listed = ", ".join(
            what if number == 1 else f"{what} ({number} times)"
            for what, number in self.counts.items()
        )
        return f"{listed}: {self.reason}"


class Outbox:
    """A bounded queue with one thread that empties it.

    A letter that fails in passing is tried again, first after half a second, later every half minute, and the others wait
    behind it; one that can never be sent is lost at once.
    """

    def __init__(
        self,
        is_passing: Callable[[BaseException], bool],
        explain: Callable[[BaseException], str],
        capacity: int = CAPACITY,
    ) -> None:
        """Start the thread.

        Args:
            is_passing: whether an error may be gone when the same is sent again.
            explain: an error in words.
            capacity: letters that wait at most.
        """
        self.loss = Loss()
        self._is_passing, self._explain, self._capacity = is_passing, explain, capacity
        self._letters: deque[Letter] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._outage = ""  # why the first letter does not get through
        self._began = 0.0  # when the first letter was taken up
        self._thread = threading.Thread(target=self._work, name="mlflow-outbox", daemon=True)
        self._thread.start()

    def put(self, letter: Letter) -> bool:
        """Take a letter; whether there was room for it."""
        with self._changed:
            if self._is_closing or len(self._letters) >= self._capacity:
                self.loss.add(letter.what, self._outage or "the queue was full")
                return False
            self._letters.append(letter)
            self._changed.notify_all()
            return True

    def close(self) -> Loss:
        """Wait for what is left as long as it moves; what does not is lost."""
        closed = time.monotonic()
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            while self._letters:
                now = time.monotonic()
                if self._outage:
                    until = closed + OUTAGE_PATIENCE
                else:
                    until = max(closed, self._began) + self._letters[0].patience
                if now >= until:
                    self._give_up(self._outage or "the server did not answer in time")
                    break
                self._changed.wait(min(until - now, 1.0))
        return self.loss

    def _give_up(self, reason: str) -> None:
        for letter in self._letters:
            self.loss.add(letter.what, reason)
        self._letters.clear()

    def _work(self) -> None:
        pause = 0.5
        while (letter := self._next()) is not None:
            error = _try(letter)
            with self._changed:
                if error is None or not self._is_passing(error):
                    self._finish(letter, error)
                    pause = 0.5
                    continue
                if not self._outage:
                    self._outage = self._explain(error)
                    logger.warning(
                        f"MLflow: {self._outage}; training goes on, and what is to be tracked waits"
                    )
                self._changed.wait_for(lambda: self._is_closing, timeout=pause)
                if self._is_closing:  # a few quick attempts more
                    self._changed.wait(min(pause, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _next(self) -> Letter | None:
        with self._changed:
            self._changed.wait_for(lambda: self._letters or self._is_closing)
            self._began = time.monotonic()
            return self._letters[0] if self._letters else None

    def _finish(self, letter: Letter, error: BaseException | None) -> None:
        if self._letters and self._letters[0] is letter:  # else it was given up meanwhile
            self._letters.popleft()
            if error is not None:
                self.loss.add(letter.what, self._explain(error))
            elif self._outage:
                logger.info("MLflow answers again")
        self._outage = ""
        self._changed.notify_all()


def _try(letter: Letter) -> BaseException | None:
    try:
        letter.send()
    # Tracking is beside the point of a run: whatever fails in it must not end the run.
    except Exception as error:
        logger.debug(f"MLflow: {letter.what}: {type(error).__name__}: {error}")
        return error
    return None
