"""ProgressBar on a terminal, NotebookProgress in a notebook, ProgressLines elsewhere: loss, rates and time left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn

from bert_playground.logger import logger
from bert_playground.notebook_output import is_notebook
from bert_playground.training.callbacks.describe_progress import (
    describe_evaluation,
    describe_pace,
    describe_time,
    seconds_left,
)
from bert_playground.training.callbacks.notebook_progress import NotebookFits, NotebookProgress
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState

WITH_BAR, WITH_PACE = 60, 100  # letters of a line


class ProgressLines(Callback):
    """Log lines: each training report, and each evaluation."""

    def __init__(self, logging_steps: int = 10) -> None:
        """Make the callback."""
        self.logging_steps = logging_steps

    def on_step_end(self, state: TrainState) -> None:
        """One line every `logging_steps`."""
        if state.step % self.logging_steps == 0 or state.step == 1:
            logger.info(
                f"step {state.step}/{state.total_steps}  epoch {state.epoch + 1}/{state.num_epochs}  "
                f"loss {state.loss:.4f}  lr {state.learning_rate:.2e}  {describe_pace(state)}  "
                f"{describe_time(seconds_left(state))} left"
            )

    def on_evaluate_end(self, state: TrainState) -> None:
        """One line with the metrics."""
        logger.info(describe_evaluation(state))


class ProgressBar(Callback):
    """A bar over all steps with loss, rate and time left; evaluations are printed above it."""

    def __init__(self, console: Console | None = None) -> None:
        """Make the callback; the bar goes to stderr, or to a console that evaluations are printed on as well."""
        self.prints = console is not None
        console = console or Console(stderr=True)
        self.progress = Progress(*_columns_for(console.width), console=console, transient=True)
        self.task: TaskID | None = None

    def on_train_begin(self, state: TrainState) -> None:
        """Show the bar."""
        self.task = self.progress.add_task(
            "train",
            total=state.total_steps,
            completed=state.step,
            epoch="",
            loss="",
            pace="",
            left="-:--",
        )
        self.progress.start()

    def on_step_end(self, state: TrainState) -> None:
        """Move the bar."""
        assert self.task is not None
        self.progress.update(
            self.task,
            completed=state.step,
            epoch=f"{state.epoch + 1}/{state.num_epochs}",
            loss=f"{state.loss:.3f}",
            pace=describe_pace(state),
            left=describe_time(seconds_left(state)),
        )

    def on_evaluate_end(self, state: TrainState) -> None:
        """Print the metrics above the bar."""
        if self.prints:
            self.progress.console.print(describe_evaluation(state), highlight=False, soft_wrap=True)
            return
        logger.info(describe_evaluation(state))

    def close(self) -> None:
        """Take the bar away, and give the terminal its cursor back."""
        self.progress.stop()


def _columns_for(width: int) -> Iterator[ProgressColumn]:
    """What a line of so many letters has room for; the time that is left is there in any case."""
    yield TextColumn("epoch {task.fields[epoch]}")
    if width >= WITH_BAR:
        yield BarColumn(bar_width=12)
        yield TextColumn("{task.completed:.0f}/{task.total:.0f}")
    yield TextColumn("loss {task.fields[loss]}")
    if width >= WITH_PACE:
        yield TextColumn("{task.fields[pace]}", style="cyan")
    yield TextColumn("{task.fields[left]} left", style="dim")


# How runs of a program show how far they are; None: as the command line does.
_factory: ContextVar[Callable[[int], Callback] | None] = ContextVar("progress", default=None)


@contextmanager
def progress_by(factory: Callable[[int], Callback]) -> Iterator[None]:
    """Inside the block every run of this thread shows its progress by the callback that this makes from `training.logging_steps`."""
    token = _factory.set(factory)
    try:
        yield
    finally:
        _factory.reset(token)


def create_progress(logging_steps: int) -> Callback:
    """A bar on a terminal or in a notebook, plain lines in a file or a pipe; or what `progress_by` says."""
    factory = _factory.get()
    if factory is not None:
        return factory(logging_steps)
    if is_notebook():
        return NotebookProgress()
    return ProgressBar() if sys.stderr.isatty() else ProgressLines(logging_steps)


@contextmanager
def show_fits(total: int) -> Iterator[Callable[[str], None]]:
    """Show how many of `total` trainings have ended, and how far the one underway is.

    In a notebook all of them share one output of the cell; elsewhere each shows its own progress, as `create_progress` says.

    Yields:
        To be told of each that ended, in words.
    """
    if _factory.get() is not None or not is_notebook():
        yield logger.info
        return
    shown = NotebookFits(total)

    def tell(said: str) -> None:
        logger.info(said)
        shown.tell(said)

    with progress_by(lambda _: shown):
        yield tell
