"""Throughput: rows and tokens per second since the last report."""

import time

from bert_playground.training.core.state import TrainState


class Throughput:
    """A stopwatch that writes what it reads into the state."""

    def __init__(self, state: TrainState) -> None:
        """Start the clock."""
        self.state = state
        self.last = time.perf_counter()
        self.restart()

    def restart(self) -> None:
        """Begin a new report."""
        self.seconds, self.rows, self.tokens = 0.0, self.state.rows, self.state.tokens

    def measure(self) -> None:
        """Take the time since the last call into account."""
        now, state = time.perf_counter(), self.state
        self.seconds += now - self.last
        state.seconds += now - self.last
        self.last = now
        state.rows_per_second = (state.rows - self.rows) / self.seconds
        state.tokens_per_second = (state.tokens - self.tokens) / self.seconds
