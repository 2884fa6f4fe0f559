"""share_study: several processes work on one study; the last one to end concludes it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from bert_playground.run_lock import LOCK_NAME
from bert_playground.runs import RunDir


class Presence:
    """A process among those that work on a study.

    Attributes:
        is_alone: whether no other process was at work when it began.
    """

    def __init__(self, file: IO[str]) -> None:
        """Look whether others are there, then stay among them."""
        self._file = file
        self.is_alone = self._try(fcntl.LOCK_EX)
        self._try(fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Whether all others have ended; then none can begin until this one ends too."""
        return self._try(fcntl.LOCK_EX)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True


@contextmanager
def share_study(run: RunDir) -> Iterator[Presence]:
    """Be at work on the study of a folder while the block runs."""
    with (run.path / LOCK_NAME).open("a+", encoding="utf-8") as file:
        yield Presence(file)
