"""Checkpointing: best, best-only, every n steps or minutes, final; keep last k."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bert_playground.files import replaced_directory
from bert_playground.leftovers import sweep_folder
from bert_playground.logger import logger
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
        best_only: nothing else at the end of the run. Until then the newest of the resumable ones that time asks for is
            there too, so that hours of work do not hang on a power supply.
        save_steps: a resumable checkpoint every n steps; None: after each epoch.
        save_seconds: another one where the last is this old; None: never.
        keep_last: how many resumable ones stay.
        every_epoch: the model after each evaluation too, in `epoch_*`.
    """

    best: bool = True
    best_only: bool = False
    save_steps: int | None = None
    keep_last: int = 2
    every_epoch: bool = False
    save_seconds: float | None = None


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
        self.saved_at = time.monotonic()

    def on_train_begin(self, state: TrainState) -> None:
        """Clear what a killed run left half-written."""
        self.run.checkpoints.mkdir(exist_ok=True)
        sweep_folder(self.run.checkpoints, is_ours=True)
        self.saved_at = time.monotonic()

    def on_step_end(self, state: TrainState) -> None:
        """A resumable checkpoint every `save_steps`, and after `save_seconds` without one."""
        steps, seconds = self.kept.save_steps, self.kept.save_seconds
        is_step = steps is not None and state.step % steps == 0 and not self.kept.best_only
        if is_step or (seconds is not None and time.monotonic() - self.saved_at >= seconds):
            self._save_step(state)

    def on_evaluate_end(self, state: TrainState) -> None:
        """The best model so far, and that of the epoch."""
        if self.kept.best and state.is_best:
            self._save(self.run.best)
        if self.kept.every_epoch:
            self._save(self.run.at_epoch(state.history[-1]["epoch"]))

    def on_epoch_end(self, state: TrainState) -> None:
        """A resumable checkpoint after each epoch, unless they are taken by steps."""
        if self.kept.save_steps is None and not self.kept.best_only:
            self._save_step(state)

    def on_train_end(self, state: TrainState) -> None:
        """`final`, or a resumable checkpoint when the run was interrupted."""
        kept = self.kept
        if state.stop_reason == INTERRUPTED:
            if not kept.best_only or kept.save_seconds is not None:
                self._save_step(state)
        elif kept.best_only:
            self._keep_last(0)
        else:
            self._save(self.run.final)

    def _save_step(self, state: TrainState) -> None:
        self._save(self.run.at_step(state.step), is_resumable=True)
        self.saved_at = time.monotonic()
        self._keep_last(1 if self.kept.best_only else self.kept.keep_last)

    def _keep_last(self, number: int) -> None:
        saved = self.run.resumable()
        for old in saved[: max(len(saved) - number, 0)]:
            shutil.rmtree(old)

    def _save(self, target: Path, *, is_resumable: bool = False) -> None:
        with replaced_directory(target) as folder:
            self.save_model(folder)
            if is_resumable:
                self.save_resumable(folder)
        logger.debug(f"wrote {target}")
