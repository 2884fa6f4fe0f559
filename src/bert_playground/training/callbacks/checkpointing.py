"""Checkpointing: best, best-only, every n steps, final; keep last k."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from bert_playground.files import remove_leftovers, replaced_directory
from bert_playground.runs import RunDir
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.core.state import TrainState

Save = Callable[[Path], None]


@dataclass(frozen=True)
class CheckpointPolicy:
    """Which checkpoints a run keeps.

    Attributes:
        best: the model at its best evaluation, in `best`.
        best_only: nothing else: such a run cannot be resumed.
        save_steps: a resumable checkpoint every n steps; None: after each epoch.
        keep_last: how many resumable ones stay.
        every_epoch: the model after each evaluation too, in `epoch_*`.
    """

    best: bool = True
    best_only: bool = False
    save_steps: int | None = None
    keep_last: int = 2
    every_epoch: bool = False


class Checkpointing(Callback):
    """Writes checkpoints, each complete or not there at all."""

    def __init__(
        self, run: RunDir, save_model: Save, save_resumable: Save, kept: CheckpointPolicy
    ) -> None:
        """Make the callback.

        Args:
            run: where checkpoints go.
            save_model: writes what prediction needs into an existing folder.
            save_resumable: adds what resuming needs.
            kept: which ones.
        """
        self.run = run
        self.save_model = save_model
        self.save_resumable = save_resumable
        self.kept = kept

    def on_train_begin(self, state: TrainState) -> None:
        """Clear what a killed run left half-written."""
        self.run.checkpoints.mkdir(exist_ok=True)
        remove_leftovers(self.run.checkpoints)

    def on_step_end(self, state: TrainState) -> None:
        """A resumable checkpoint every `save_steps`."""
        if self.kept.save_steps and state.step % self.kept.save_steps == 0:
            self._save_step(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """The best model so far, and that of the epoch."""
        if self.kept.best and state.is_best:
            self._save(self.run.best)
        if self.kept.every_epoch:
            self._save(self.run.at_epoch(state.history[-1]["epoch"]))

    def on_epoch_end(self, state: TrainState) -> None:
        """A resumable checkpoint after each epoch, unless they are taken by steps."""
        if self.kept.save_steps is None:
            self._save_step(state)

    def on_train_end(self, state: TrainState) -> None:
        """`final`, or a resumable checkpoint when the run was interrupted."""
        if state.stop_reason == INTERRUPTED:
            self._save_step(state)
        elif not self.kept.best_only:
            self._save(self.run.final)

    def _save_step(self, state: TrainState) -> None:
        if self.kept.best_only:
            return
        self._save(self.run.at_step(state.step), is_resumable=True)
        for old in self.run.resumable()[: -self.kept.keep_last]:
            shutil.rmtree(old)

    def _save(self, target: Path, *, is_resumable: bool = False) -> None:
        with replaced_directory(target) as folder:
            self.save_model(folder)
            if is_resumable:
                self.save_resumable(folder)
        logger.debug(f"wrote {target}")
