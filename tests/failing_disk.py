"""FailingDisk: one change of the disk is refused, or none is written from there on, whichever library writes."""

import errno
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.mkdir", "os.link", "os.symlink")
UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)


class FailingDisk:
    """Counts files that are opened to write, folders that are made, and renames under a folder, and lets one of them fail.

    Python tells of these itself, whoever asks for them in Python. What is written then, also by compiled libraries, the
    kernel refuses beyond a limit of zero bytes.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.count, self.at = 0, 0
        self.error: int | None = None
        sys.addaudithook(self._hear)  # for the rest of the process

    @contextmanager
    def fail(self, folder: Path, at: int = 0, error: int | None = None) -> Iterator[None]:
        """Inside the block, the change with this number, from 1 on, fails.

        Args:
            folder: where changes are counted.
            at: 0: none fails.
            error: that this one change meets; None: files alone are counted, and from this one on nothing can be written.
        """
        self.folder, self.count, self.at, self.error = folder.resolve(), 0, at, error
        try:
            yield
        finally:
            self.folder = None
            resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED)

    def _hear(self, event: str, values: tuple[Any, ...]) -> None:
        if self.folder is None or not self._is_change(event, values):
            return
        self.count += 1
        if self.count != self.at:
            return
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error), str(values[0]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, UNLIMITED[1]))

    def _is_change(self, event: str, values: tuple[Any, ...]) -> bool:
        if event == "open":
            if not isinstance(values[2], int) or not values[2] & (os.O_WRONLY | os.O_RDWR):
                return False
        elif self.error is None or event not in CHANGES:  # nothing is written by these
            return False
        if not isinstance(values[0], str | os.PathLike):
            return False
        path = Path(values[0]).absolute()
        is_there = event == "os.mkdir" and path.is_dir()  # which whoever asks expects
        return not is_there and path.is_relative_to(self.folder or "")


REFUSALS = (errno.ENOSPC, errno.EIO, None)
