"""NotebookProgress: a training in one output of a cell; NotebookFits: several trainings in one."""

from bert_playground.notebook_output import NotebookOutput
from bert_playground.training.callbacks.describe_progress import (
    describe_evaluation,
    describe_pace,
    describe_time,
    seconds_left,
)
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState


class NotebookProgress(Callback):
    """A bar over the steps, and the metrics of each epoch below it."""

    def __init__(self) -> None:
        """Make the callback."""
        self.output = NotebookOutput()

    def on_train_begin(self, state: TrainState) -> None:
        """Show the bar."""
        self.output.draw(*_measure(state))

    def on_step_end(self, state: TrainState) -> None:
        """Move the bar."""
        self.output.move(*_measure(state))

    def on_evaluate_end(self, state: TrainState) -> None:
        """Add a line."""
        self.output.lines.append(describe_evaluation(state))
        self.output.draw(*_measure(state))

    def on_train_end(self, state: TrainState) -> None:
        """The last picture stays."""
        self.output.draw(*_measure(state))


def _measure(state: TrainState) -> tuple[int, int, str]:
    pace = f"{describe_pace(state)}  {describe_time(seconds_left(state))} left"
    return state.step, state.total_steps, f"{state.step}/{state.total_steps}  {pace}"


class NotebookFits(Callback):
    """A bar over several trainings, a line for each that ended, and beside the bar where the one underway is."""

    def __init__(self, total: int) -> None:
        """Show that none of `total` has ended."""
        self.total = total
        self.output = NotebookOutput()
        self._draw()

    def on_step_end(self, state: TrainState) -> None:
        """Say where the training is."""
        done = len(self.output.lines)
        epoch = f"epoch {state.epoch + 1}/{state.num_epochs}  loss {state.loss:.3f}"
        self.output.move(done, self.total, f"{done}/{self.total}  {epoch}  {describe_pace(state)}")

    def tell(self, said: str) -> None:
        """One has ended."""
        self.output.lines.append(said)
        self._draw()

    def _draw(self) -> None:
        done = len(self.output.lines)
        self.output.draw(done, self.total, f"{done}/{self.total}")
