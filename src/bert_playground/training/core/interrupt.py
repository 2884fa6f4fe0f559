"""interrupt_after_step: the first Ctrl-C is a wish, the second one an order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from loguru import logger

from bert_playground.training.core.state import TrainState

INTERRUPTED = "interrupted"


@contextmanager
def interrupt_after_step(state: TrainState) -> Iterator[None]:
    """Turn the first Ctrl-C into `state.stop_reason`, so that no step is left half-done; the second one acts as usual.

    Outside the main thread Python allows no signal handlers, and a run in the background may ignore Ctrl-C (`nohup … &`):
    then nothing changes.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def wish(signum: int, frame: object) -> None:
        state.stop_reason = INTERRUPTED
        signal.signal(signal.SIGINT, before)
        logger.warning("stopping after this step; press Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, wish)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
