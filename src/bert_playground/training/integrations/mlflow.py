"""MLflowCallback: trainer events to tracking.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from bert_playground.runs import RunDir
from bert_playground.tracking import TrackedRun
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.core.state import TrainState


class MLflowCallback(Callback):
    """Logs the settings, every record of the history and the best checkpoint.

    It comes after the checkpointing callback in the trainer's list, so that the checkpoint is written when training ends.
    """

    def __init__(
        self, run: RunDir, output_dir: Path, experiment: str, params: Mapping[str, Any]
    ) -> None:
        """Start the tracked run, which has the name of the run folder.

        Raises:
            ValueError: MLflow is not installed.
        """
        self.run = run
        self.tracked = TrackedRun(output_dir, experiment, run.path.name)
        self.tracked.log_params(params)
        self.num_logged = 0
        self.is_running = True

    def on_train_begin(self, state: TrainState) -> None:
        """A resumed run is a new tracked run with the whole history."""
        self._log(state)

    def on_step_end(self, state: TrainState) -> None:
        """Log the report of this step, if there is one."""
        self._log(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """Log the evaluation."""
        self._log(state)

    def on_train_end(self, state: TrainState) -> None:
        """Log the best checkpoint and the picture, and end the tracked run."""
        if self.run.kept is not None:
            self.tracked.log_folder(self.run.kept, "checkpoint")
        if self.run.curves.is_file():
            self.tracked.log_file(self.run.curves)
        self.tracked.finish("KILLED" if state.stop_reason == INTERRUPTED else "FINISHED")
        self.is_running = False
        logger.info(f"tracked; to look at it: mlflow ui --backend-store-uri {self.tracked.address}")

    def close(self) -> None:
        """A run that did not come to its end has failed."""
        if self.is_running:
            self.tracked.finish("FAILED")
            self.is_running = False

    def _log(self, state: TrainState) -> None:
        for record in state.history[self.num_logged :]:
            values = {
                name: value
                for name, value in record.items()
                if name not in ("kind", "step") and isinstance(value, int | float)
            }
            self.tracked.log_metrics(values, record["step"])
        self.num_logged = len(state.history)
