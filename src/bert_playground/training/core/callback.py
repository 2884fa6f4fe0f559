"""Callback: six empty hooks, and `close`."""

from bert_playground.training.core.state import TrainState


class Callback:
    """Something that wants to know how training goes.

    The hooks of all callbacks are called in the order of the trainer's list. A hook reads the state and may set
    `state.stop_reason` to end the run after the current step; one that raises ends it at once.
    """

    def on_train_begin(self, state: TrainState) -> None:
        """Before the first step, also of a resumed run."""

    def on_train_end(self, state: TrainState) -> None:
        """After the last step, also when the run was interrupted (then `state.stop_reason` says so)."""

    def on_epoch_begin(self, state: TrainState) -> None:
        """Before the first batch of an epoch, or before the next one of an epoch that is resumed."""

    def on_epoch_end(self, state: TrainState) -> None:
        """After an epoch and its evaluation; `state.epoch` counts it already."""

    def on_step_end(self, state: TrainState) -> None:
        """After each optimizer step."""

    def on_evaluate_end(self, state: TrainState) -> None:
        """After an evaluation; `state.metrics` has its values and `state.is_best` the verdict."""

    def close(self) -> None:
        """Let go of what is held, such as the terminal; called last in any case, also after an error."""
