"""logger: loguru's, with handlers of its own, so that neither an application's nor ours hear what is meant for the others."""

import importlib.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Logger

WARNING = 30  # the number of the level


def _make_logger() -> "Logger":
    """A logger whose handlers are no application's: `logger.remove()` of either one leaves those of the other."""
    # Handlers belong to the logger that loguru makes when it is imported; copy.deepcopy of that one fails for an open stream.
    spec = importlib.util.find_spec("loguru")
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    own: Logger = again.logger
    own.remove()  # the handler that it begins with
    return own


def write_to_console(message: str) -> None:
    """Write to stderr as it is now: a live progress bar replaces it so that lines appear above the bar."""
    sys.stderr.write(message)


logger = _make_logger()
# In a program that uses the library, warnings alone are shown, until `set_up_logs` is called.
logger.add(write_to_console, level=WARNING, format="{level}: {message}", colorize=False)
