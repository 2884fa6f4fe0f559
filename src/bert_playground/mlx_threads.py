"""wait_at_exit: Python ends only after a thread that used MLX is gone altogether."""

import atexit
import threading
import time
from pathlib import Path

LONGEST_WAIT = 5.0  # seconds
WITHOUT_PROC = 0.1  # seconds, where no file tells whether a thread is still there

_noted: dict[int, threading.Thread] = {}


def wait_at_exit() -> None:
    """Call it in a thread that is going to use MLX; in the main thread it does nothing.

    What a thread compiled is freed after its last Python code, and `join` (before Python 3.13) does not wait for that. MLX asks
    for the interpreter there; if that is ending, the process aborts with 134 although all was done.
    """
    if threading.current_thread() is not threading.main_thread():
        _noted[threading.get_native_id()] = threading.current_thread()


@atexit.register
def _wait_for_threads() -> None:
    deadline = time.monotonic() + LONGEST_WAIT
    for native_id, thread in _noted.items():
        if thread.is_alive():
            continue  # a daemon's; it does not end
        if not Path("/proc/self/task").exists():
            time.sleep(WITHOUT_PROC)
            return
        while Path(f"/proc/self/task/{native_id}").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
