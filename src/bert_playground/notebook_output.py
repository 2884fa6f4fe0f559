"""NotebookOutput: one output of a notebook's cell that changes: a bar, what is said beside it, and lines below."""

import html
import time
from typing import Any

from rich.console import Console

SECONDS_BETWEEN = 0.2  # two pictures of a notebook


def is_notebook() -> bool:
    """Whether what is shown goes to the cell of a notebook."""
    return Console().is_jupyter


class NotebookOutput:
    """A bar that moves and lines that become more, in one output of the cell; needs no widgets.

    Attributes:
        lines: below the bar, shown by the next `draw`.
    """

    def __init__(self) -> None:
        """Make it; it is shown by the first `draw`."""
        self.lines: list[str] = []
        self._handle: Any = None  # of IPython's display
        self._drawn_at = 0.0

    def draw(self, done: float, total: float, said: str) -> None:
        """Show how far it is.

        Args:
            done: of `total`.
            total: inf: nobody knows, and the bar is one without an end.
            said: beside the bar.
        """
        from IPython.display import HTML, display

        self._drawn_at = time.monotonic()
        picture = HTML(self._write(done, total, said))
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)

    def move(self, done: float, total: float, said: str) -> None:
        """As `draw`, unless it was drawn a moment ago."""
        if time.monotonic() - self._drawn_at > SECONDS_BETWEEN:
            self.draw(done, total, said)

    def _write(self, done: float, total: float, said: str) -> str:
        place = "" if total == float("inf") else f' value="{done:g}" max="{total:g}"'
        lines = "\n".join(map(html.escape, self.lines))
        return f"<progress{place}></progress> {html.escape(said)}<pre>{lines}</pre>"
