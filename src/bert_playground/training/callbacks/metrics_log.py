"""MetricsLog: one JSON line per report."""

import json
from pathlib import Path

from bert_playground.files import disk_errors_named, write_text
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import History, TrainState


class MetricsLog(Callback):
    """Keeps `metrics.jsonl` equal to the history: a training report each `logging_steps`, and each evaluation."""

    def __init__(self, path: Path) -> None:
        """Make the callback; nothing is written yet."""
        self.path = path
        self.num_written = 0

    def on_train_begin(self, state: TrainState) -> None:
        """Begin the file with the history so far; lines that a killed run wrote after its checkpoint go away."""
        write_text(self.path, _lines(state.history))
        self.num_written = len(state.history)

    def on_step_end(self, state: TrainState) -> None:
        """Add the report of this step, if there is one."""
        self._append(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """Add the evaluation."""
        self._append(state)

    def _append(self, state: TrainState) -> None:
        new = state.history[self.num_written :]
        if new:
            with disk_errors_named(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(_lines(new))
            self.num_written = len(state.history)


def _lines(records: History) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
