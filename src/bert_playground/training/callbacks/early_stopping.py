"""EarlyStopping: stop when the metric stalls."""

from bert_playground.logger import logger
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState


class EarlyStopping(Callback):
    """Ends the run after `patience` evaluations in a row that did not improve the monitored metric.

    The count is kept in the state, so a resumed run goes on counting.
    """

    def __init__(self, patience: int) -> None:
        """Make the callback; a patience of 0 never stops."""
        self.patience = patience

    def on_train_begin(self, state: TrainState) -> None:
        """A run that was resumed may have stalled already."""
        self._judge(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """Count the evaluation."""
        self._judge(state)

    def _judge(self, state: TrainState) -> None:
        if (
            self.patience
            and not state.stop_reason
            and state.evaluations_since_best >= self.patience
        ):
            state.stop_reason = f"{state.monitor} has not improved for {self.patience} evaluations"
            logger.info(f"early stop: {state.stop_reason} (best: epoch {state.best_epoch})")
