"""Stopped, stop_by_signals: SIGTERM and SIGHUP end a program as Ctrl-C does, by an exception that lets it clean up."""

import errno
import os
import signal
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)
FOR_ANOTHER = (
    signal.SIGINT,
    signal.SIGHUP,
)  # sent to all processes of a terminal, workers among them


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
        is_stopping: whether a signal has come.
    """

    def __init__(self) -> None:
        """Wait for a signal."""
        self.is_stopping = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """As Python calls the handler of a signal."""
        leave_dead_terminal()
        if self.is_stopping:
            return
        self.is_stopping = True
        raise Stopped(signum)


_is_worker = False


@contextmanager
def stop_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped` inside the block.

    A signal that is ignored stays so (`nohup`), and one that the program handles in its own way too. Outside the main
    thread Python allows no handlers, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = StopHandler()
    ours = [each for each in ENDING if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def listen_as_worker() -> None:
    """Of a process that works for another one: Ctrl-C and a closed terminal are for the other, which then sends SIGTERM.

    That ends this process at once, but inside `working`: importing, which on a busy machine takes half a minute, leaves
    nothing to save.
    """
    global _is_worker
    _is_worker = True
    for each in FOR_ANOTHER:
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_ANOTHER)


@contextmanager
def start_workers() -> Iterator[None]:
    """Processes that are started inside the block hear Ctrl-C and a closed terminal only as `listen_as_worker` says.

    Until they come so far they import for seconds, and would end by the signal with a traceback. What comes meanwhile
    reaches this process at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_ANOTHER)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def working() -> Iterator[None]:
    """What a worker is asked for: SIGTERM raises `Stopped` inside the block, so that it can save where it is."""
    with _on_sigterm(StopHandler()):
        yield


@contextmanager
def nothing_to_save() -> Iterator[None]:
    """Let SIGTERM end a worker at once again, even in a library that for minutes lets no handler run."""
    with _on_sigterm(signal.SIG_DFL) if _is_worker else nullcontext():
        yield


@contextmanager
def _on_sigterm(handler: StopHandler | signal.Handlers) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
