"""logger: loguru's, with handlers of its own, so that neither an application's nor ours hear what is meant for the others."""

import copy
import sys
from typing import TYPE_CHECKING

from loguru import logger as of_the_application  # noqa: TID251

if TYPE_CHECKING:
    from loguru import Logger

WARNING = 30  # the number of the level


def _make_logger() -> "Logger":
    """A logger whose handlers are no application's: `logger.remove()` of either one leaves those of the other."""
    own = copy.copy(of_the_application)
    own._core = type(own._core)()  # type: ignore[attr-defined]  # copy.deepcopy, which loguru proposes, fails for an open stream
    return own


def write_to_console(message: str) -> None:
    """Write to stderr as it is now: a live progress bar replaces it so that lines appear above the bar."""
    sys.stderr.write(message)


logger = _make_logger()
# In a program that uses the library, warnings alone are shown, until `set_up_logs` is called.
logger.add(write_to_console, level=WARNING, format="{level}: {message}", colorize=False)
