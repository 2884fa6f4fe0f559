"""Stopped, stop_by_signals: SIGTERM and SIGHUP end a program as Ctrl-C does, by an exception that lets it clean up."""

import errno
import os
import signal
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal other than that of Ctrl-C asked for the end.

    Attributes:
        signum: of the signal; a shell counts 128 more as exit code.
    """

    def __init__(self, signum: int) -> None:
        """Remember which."""
        super().__init__(signum)
        self.signum = signum


class StopHandler:
    """Raises `Stopped` once: `timeout` and service managers send a signal several times, and saving takes its time.

    Attributes:
        is_working: whether there is something to stop.
        is_stopping: whether a signal has come.
    """

    def __init__(self, *, is_working: bool) -> None:
        """Wait for a signal."""
        self.is_working = is_working
        self.is_stopping = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """As Python calls the handler of a signal."""
        leave_dead_terminal()
        if self.is_stopping:
            return
        self.is_stopping = True
        if self.is_working:
            raise Stopped(signum)


_worker = StopHandler(is_working=False)


@contextmanager
def stop_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped` inside the block.

    A signal that is ignored stays so (`nohup`), and one that the program handles in its own way too. Outside the main
    thread Python allows no handlers, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = StopHandler(is_working=True)
    ours = [each for each in ENDING if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def listen_as_worker() -> None:
    """Of a process that works for another one: Ctrl-C and a closed terminal are for the other, which then sends SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _worker)


@contextmanager
def working() -> Iterator[None]:
    """What a worker is asked for; between two of these blocks there is nothing to stop.

    Raises:
        Stopped: SIGTERM, inside the block or just before it.
    """
    _worker.is_working = True
    try:
        if _worker.is_stopping:
            raise Stopped(signal.SIGTERM)
        yield
    finally:
        _worker.is_working = False


def leave_dead_terminal() -> None:
    """Write no more to a terminal that was closed: each message would fail, and end what is to be saved."""
    for descriptor in (1, 2):
        if _is_hung_up(descriptor):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _is_hung_up(descriptor: int) -> bool:
    try:
        termios.tcgetattr(descriptor)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)  # a file is ENOTTY
    return False
