"""Ranks: what a trainer settles with other processes that train the same model; here there are none."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bert_playground.data.core.types import Batch, Loader
from bert_playground.inference import Model, Predictions, predict_batches
from bert_playground.training.core.interrupt import Stoppable
from bert_playground.training.core.optimizer import Tree
from bert_playground.training.core.state import TrainState
from bert_playground.training.core.step import count_rows, count_tokens

if TYPE_CHECKING:
    from bert_playground.training.core.trainer import Trainer


class Ranks:
    """One process that trains by itself."""

    reduce_gradients: Callable[[Tree], Tree] | None = None  # see `make_train_step`

    def begin(self, trainer: "Trainer", train_data: Loader) -> Loader:
        """Make all processes start from the same; gives the part of the rows that this one trains on."""
        return train_data

    def wish(self, state: TrainState) -> Stoppable:
        """Where a signal puts its wish to stop: it may come at any time, and all must stop after the same step."""
        return state

    def count(self, batches: Sequence[Batch]) -> tuple[int, int]:
        """Rows and tokens of a step, of all processes."""
        return count_rows(batches), count_tokens(batches)

    def agree(self, state: TrainState) -> None:
        """Make the state's decisions, when to stop above all, the same in all processes."""

    def choose_text(self, text: str, *, is_found: bool) -> str:
        """Of what each process has to say, that of the first which found something."""
        return text

    def predict(self, model: Model, loader: Loader) -> Predictions:
        """The answers to all rows of a loader."""
        return predict_batches(model, loader)


ALONE = Ranks()
