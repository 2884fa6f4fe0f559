"""loguru set-up: level, console, file in the run folder."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING

from bert_playground.logger import WARNING, logger, write_to_console
from bert_playground.lookup import nearest

if TYPE_CHECKING:
    from loguru import Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")

PATIENCE_SECONDS = 2.0
_floor = 0  # of the messages that reach the console


def set_up_logs(level: str | None = None) -> str:
    """Send log messages to stderr, so that stdout stays free for results.

    Args:
        level: such as "DEBUG"; None: the environment variable LOGURU_LEVEL, else INFO.

    Returns:
        The level in force.

    Raises:
        ValueError: there is no such level.
    """
    chosen = (level or os.environ.get("LOGURU_LEVEL") or "INFO").upper()
    if chosen not in LEVELS:
        raise ValueError(
            f"unknown log level {chosen!r}{nearest(chosen, LEVELS)} (known: {', '.join(LEVELS)})"
        )
    logger.remove()
    logger.add(
        write_to_console,
        level=chosen,
        format=_console_format,
        colorize=_has_colors(),
        filter=lambda record: record["level"].no >= _floor,
    )
    return chosen


def _has_colors() -> bool:
    """Whether stderr is a terminal that shows colours, and nobody asked for none: https://no-color.org."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    return sys.stderr.isatty() and not is_plain


@contextmanager
def warnings_only() -> Iterator[None]:
    """Inside the block the console shows warnings and errors alone; files get everything."""
    global _floor
    before, _floor = _floor, max(_floor, WARNING)
    try:
        yield
    finally:
        _floor = before


@contextmanager
def tell_if_slow(what: str) -> Iterator[None]:
    """Say what is being done if the block takes longer than people wait in silence, and again how long it has taken."""
    started, is_done = time.monotonic(), threading.Event()

    def tell() -> None:
        wait = PATIENCE_SECONDS
        while not is_done.wait(wait):
            logger.info(f"{what}: {time.monotonic() - started:.0f} s so far")
            wait *= 2

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Also append every message, DEBUG and up, to a file while the block runs."""
    with path.open("ab", buffering=0) as file:
        sink = logger.add(
            _LogFile(file, path),
            level="DEBUG",
            format="{time:YYYY-MM-DD HH:mm:ss} {level:<7} {message}",
        )
        try:
            yield
        finally:
            logger.remove(sink)


class _LogFile:
    """A log that cannot be written, such as on a full disk, is said once: what fails for the same reason says more."""

    def __init__(self, file: RawIOBase, path: Path) -> None:
        self.file, self.path, self.is_told = file, path, False

    def __call__(self, message: str) -> None:
        try:
            self.file.write(message.encode("utf-8", "replace"))
        except OSError as error:
            if not self.is_told:
                sys.stderr.write(f"{self.path} cannot be written: {error.strerror}\n")
            self.is_told = True


def _console_format(record: "Record") -> str:
    if record["level"].no <= 10:
        return "<dim>{time:HH:mm:ss} {name}: {message}</dim>\n{exception}"
    if record["level"].no < 30:
        return "{message}\n{exception}"
    return "<level>{level}: {message}</level>\n{exception}"
