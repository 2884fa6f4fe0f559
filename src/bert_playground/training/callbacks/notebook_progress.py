"""NotebookProgress: one output of a cell that changes: a bar, and the metrics of each epoch."""

import html
import time
from typing import Any

from bert_playground.training.callbacks.describe_progress import (
    describe_evaluation,
    describe_pace,
    describe_time,
    seconds_left,
)
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState

SECONDS_BETWEEN = 0.2  # two pictures of a notebook


class NotebookProgress(Callback):
    """One output of a cell that changes: a bar, and the metrics of each epoch below it; needs no widgets."""

    def __init__(self) -> None:
        """Make the callback."""
        self.lines: list[str] = []
        self.handle: Any = None  # of IPython's display
        self.drawn_at = 0.0

    def on_train_begin(self, state: TrainState) -> None:
        """Show the bar."""
        from IPython.display import HTML, display

        self.handle = display(HTML(self._draw(state)), display_id=True)

    def on_step_end(self, state: TrainState) -> None:
        """Move the bar."""
        if time.monotonic() - self.drawn_at > SECONDS_BETWEEN:
            self._update(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """Add a line."""
        self.lines.append(describe_evaluation(state))
        self._update(state)

    def on_train_end(self, state: TrainState) -> None:
        """The last picture stays."""
        self._update(state)

    def _update(self, state: TrainState) -> None:
        from IPython.display import HTML

        self.drawn_at = time.monotonic()
        self.handle.update(HTML(self._draw(state)))

    def _draw(self, state: TrainState) -> str:
        pace = f"{describe_pace(state)}  {describe_time(seconds_left(state))} left"
        lines = "\n".join(map(html.escape, self.lines))
        return (
            f'<progress value="{state.step}" max="{state.total_steps}"></progress> '
            f"{state.step}/{state.total_steps}  {html.escape(pace)}<pre>{lines}</pre>"
        )
