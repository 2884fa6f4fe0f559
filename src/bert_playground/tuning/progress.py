"""create_progress: a bar of a study with best so far, its error and the time left, on a terminal or in a notebook; lines elsewhere."""

import sys
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bert_playground.logger import logger
from bert_playground.notebook_output import NotebookOutput, is_notebook
from bert_playground.training.callbacks.describe_progress import describe_time
from bert_playground.training.core.state import TrainState
from bert_playground.tuning.clock import Clock


class TuneProgress(Protocol):
    """What is told of a study."""

    def begin(self, what: str) -> None:
        """A training begins."""

    def step(self, state: TrainState) -> None:
        """It took a step."""

    def end(self, said: str, best: str) -> None:
        """It ended; `best` is the best so far in words."""

    def close(self) -> None:
        """Let go of the terminal."""


class TuneLines:
    """A line for each training."""

    def __init__(self, clock: Clock, most_trials: float) -> None:
        """Make it."""
        self.clock = clock

    def begin(self, what: str) -> None:
        """Nothing is said before there is something."""

    def step(self, state: TrainState) -> None:
        """Nothing is said of single steps."""

    def end(self, said: str, best: str) -> None:
        """One line."""
        logger.info(f"{said}; {best}{say_left(self.clock)}")

    def close(self) -> None:
        """Nothing is held."""


class TuneBar:
    """A bar over the time, or the trials, that a study has; trainings are told above it."""

    def __init__(self, clock: Clock, most_trials: float, console: Console | None = None) -> None:
        """Make it; the bar goes to stderr."""
        self.clock, self.most_trials, self.done = clock, most_trials, 0
        self.progress = Progress(
            TextColumn("{task.fields[what]}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[best]}", style="cyan"),
            TextColumn("{task.fields[left]}", style="dim"),
            console=console or Console(stderr=True),
            transient=True,
        )
        _, total = measure(clock, 0, most_trials)
        self.task = self.progress.add_task("tune", total=total, what="", best="", left="")
        self.what = ""
        self.progress.start()

    def begin(self, what: str) -> None:
        """Name the training."""
        self.what = what
        self._update(what)

    def step(self, state: TrainState) -> None:
        """Move the bar."""
        self._update(f"{self.what}, epoch {state.epoch + 1}/{state.num_epochs}")

    def end(self, said: str, best: str) -> None:
        """Print the training above the bar."""
        self.done += 1
        logger.info(said)
        self.progress.update(self.task, best=best)
        self._update(self.what)

    def close(self) -> None:
        """Take the bar away, and give the terminal its cursor back."""
        self.progress.stop()

    def _update(self, what: str) -> None:
        completed, _ = measure(self.clock, self.done, self.most_trials)
        left = say_left(self.clock).removeprefix("; ")
        self.progress.update(self.task, completed=completed, what=what, left=left)


class TuneNotebook:
    """The same bar in one output of a cell, with a line for each training below it."""

    def __init__(self, clock: Clock, most_trials: float) -> None:
        """Make it."""
        self.clock, self.most_trials = clock, most_trials
        self.output = NotebookOutput()
        self.what, self.best = "", ""

    def begin(self, what: str) -> None:
        """Name the training."""
        self.what = what
        self.output.draw(*self._measure(what))

    def step(self, state: TrainState) -> None:
        """Move the bar."""
        self.output.move(*self._measure(f"{self.what}, epoch {state.epoch + 1}/{state.num_epochs}"))

    def end(self, said: str, best: str) -> None:
        """Add a line."""
        logger.info(said)
        self.output.lines.append(said)
        self.best = best
        self.output.draw(*self._measure(self.what))

    def close(self) -> None:
        """The last picture stays."""
        self.output.draw(*self._measure(""))

    def _measure(self, what: str) -> tuple[float, float, str]:
        said = [part for part in (what, self.best, say_left(self.clock).removeprefix("; ")) if part]
        return *measure(self.clock, len(self.output.lines), self.most_trials), "  ".join(said)


def measure(clock: Clock, done: int, most_trials: float) -> tuple[float, float]:
    """What is over of a study, and all of it: seconds if it has a limit, else trainings, that by the defaults among them."""
    return (clock.elapsed, clock.seconds) if clock.seconds else (done, most_trials + 1)


def say_left(clock: Clock) -> str:
    """Such as "; 1:05 left"; nothing without a limit."""
    return (
        ""
        if clock.seconds is None
        else f"; {describe_time(max(0.0, clock.seconds - clock.elapsed))} left"
    )


def create_progress(clock: Clock, most_trials: float) -> TuneProgress:
    """A bar on a terminal or in a notebook, plain lines in a file or a pipe."""
    if is_notebook():
        return TuneNotebook(clock, most_trials)
    return (TuneBar if sys.stderr.isatty() else TuneLines)(clock, most_trials)
