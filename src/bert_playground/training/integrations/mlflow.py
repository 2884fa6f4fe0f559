"""MLflowCallback: trainer events to tracking/tracked_run.py."""

from collections.abc import Mapping
from typing import Any

from bert_playground.tracking import TrackedRun
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState


class MLflowCallback(Callback):
    """Logs every record of the history; what lies in the run folder is logged when the run has ended."""

    def __init__(self, tracked: TrackedRun) -> None:
        """Make the callback of a run that has begun."""
        self.tracked = tracked
        self.num_logged = 0

    def on_train_begin(self, state: TrainState) -> None:
        """What was chosen of settings that were left open; a resumed run begins with the whole history."""
        self.tracked.log_params(
            {
                "chosen.epochs": state.num_epochs,
                "chosen.steps": state.total_steps,
                "chosen.steps_per_epoch": state.steps_per_epoch,
                "chosen.monitor": state.monitor,
            }
        )
        self._log(state)

    def on_step_end(self, state: TrainState) -> None:
        """Log the report of this step, if there is one."""
        self._log(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """Log the evaluation."""
        self._log(state)

    def _log(self, state: TrainState) -> None:
        for record in state.history[self.num_logged :]:
            self.tracked.log_metrics(numbers_of(record), record["step"])
        self.num_logged = len(state.history)


def numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn of a record of the history."""
    return {
        name: value
        for name, value in record.items()
        if name not in ("kind", "step") and isinstance(value, int | float)
    }
