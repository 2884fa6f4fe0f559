"""hold_run: while a process trains in a run folder no other may; is_running: whether one does."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bert_playground.runs import RunDir

LOCK_NAME = ".running"  # holds the number of the process; the lock on it ends with the process, however that ends


@contextmanager
def hold_run(run: RunDir) -> Iterator[None]:
    """Lock the folder while the block runs.

    Raises:
        ValueError: another process trains in it.
    """
    path = run.path / LOCK_NAME
    file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{run.path} is underway in {name_process(run)}; wait until it ends, or stop it first"
            ) from error
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # the folder of a run that had nothing to keep is gone
                path.unlink()


def is_running(run: RunDir) -> bool:
    """Whether a process trains in the folder now."""
    try:
        file = (run.path / LOCK_NAME).open("r", encoding="utf-8")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def name_process(run: RunDir) -> str:
    """Which process trains in a folder, in words."""
    try:
        number = Path(run.path / LOCK_NAME).read_text(encoding="utf-8").strip()
    except OSError:
        number = ""
    return f"process {number}" if number else "another process"
