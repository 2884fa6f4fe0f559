"""interrupt_after_step: the first Ctrl-C, SIGTERM or SIGHUP is a wish; a second Ctrl-C is an order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from bert_playground.logger import logger
from bert_playground.signals import ENDING, StopHandler, Stopped, leave_dead_terminal

INTERRUPTED = "interrupted"


class Stoppable(Protocol):
    """What a wish to stop is written into."""

    stop_reason: str


@dataclass
class Interruption:
    """What asked for the end, if anything did."""

    signum: int = signal.SIGINT

    def exception(self) -> KeyboardInterrupt:
        """To be raised when everything is saved."""
        is_ctrl_c = self.signum == signal.SIGINT
        return KeyboardInterrupt() if is_ctrl_c else Stopped(self.signum)


@contextmanager
def interrupt_after_step(state: Stoppable) -> Iterator[Interruption]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into `state.stop_reason`, so that no step is left half-done.

    A second Ctrl-C acts as usual; the others are sent several times by those who send them, and stay wishes. What is
    ignored stays ignored (`nohup … &`), and so do handlers that a program has for SIGTERM and SIGHUP. Outside the main
    thread Python allows no handlers: then nothing changes.
    """
    found = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before: dict[int, Any] = {
        each: handler
        for each in (signal.SIGINT, *ENDING)
        if _is_replaceable(each, handler := signal.getsignal(each))
    }

    def wish(signum: int, frame: FrameType | None) -> None:
        leave_dead_terminal()
        is_first = state.stop_reason != INTERRUPTED
        state.stop_reason = INTERRUPTED
        if is_first:
            found.signum = signum
            for handler in before.values():
                if isinstance(handler, StopHandler):
                    handler.is_stopping = True  # it need not raise when everything is saved
            again = ""
            if signal.SIGINT in before:
                signal.signal(signal.SIGINT, before[signal.SIGINT])
                again = "; press Ctrl-C again to stop at once"
            logger.warning(f"stopping after this step{again}")

    for each in before:
        signal.signal(each, wish)
    try:
        yield found
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _is_replaceable(signum: int, handler: Any) -> bool:
    if handler is signal.SIG_IGN or handler is None:  # None: it was not installed by Python
        return False
    return signum == signal.SIGINT or handler is signal.SIG_DFL or isinstance(handler, StopHandler)
