"""Trainer: epochs, evaluation, callbacks told in order."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground.data.core.types import Batch, Loader
from bert_playground.forks import claim_process
from bert_playground.inference import Model, Predictions, predict_batches
from bert_playground.logger import logger
from bert_playground.memory import fit_cache_limit, keep_large_buffers_apart
from bert_playground.models.heads import BaseHead
from bert_playground.models.tokenwise import settle
from bert_playground.training.core.averaging import average_weights, is_averaged, mean_weights
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.divergence import (
    IN_SUM,
    MOST_IN_A_ROW,
    DivergenceError,
    RowNames,
    find_divergence,
    find_nonfinite,
)
from bert_playground.training.core.freezing import Unfreezing, complete, complete_moments
from bert_playground.training.core.interrupt import INTERRUPTED, interrupt_after_step
from bert_playground.training.core.optimizer import Moments, Optimizer, Tree
from bert_playground.training.core.ranks import ALONE, Ranks
from bert_playground.training.core.regularization import NO_REGULARIZATION, Regularization
from bert_playground.training.core.resume import load_resumable, random_key, save_resumable
from bert_playground.training.core.schedule import Schedule
from bert_playground.training.core.state import TrainState
from bert_playground.training.core.step import make_train_step
from bert_playground.training.core.throughput import Throughput
from bert_playground.training.core.time_limit import ALL_STEPS, name_last_step, shorten_to_time

Scorer = Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], dict[str, float]]


@dataclass(frozen=True)
class Loop:
    """How long and in what portions to train."""

    epochs: int
    max_steps: int | None = None
    max_seconds: float | None = None  # of training and evaluation; the schedule is shortened to it
    gradient_accumulation_steps: int = 1
    max_grad_norm: float | None = 1.0
    skip_nonfinite: bool = False  # leave out an update that is not finite, instead of ending
    logging_steps: int = 10
    use_compilation: bool = False
    ema_decay: float = (
        0.0  # of the averaged weights that are evaluated and kept; 0: the weights as they are
    )
    swa_start: float | None = (
        None  # the share of all steps after which their mean is evaluated and kept; instead of EMA
    )
    regularization: Regularization = NO_REGULARIZATION
    gradual_unfreezing: bool = False  # one more layer in each epoch, from the head down
    monitor: str = "val_loss"  # decides which evaluation is the best
    mode: str = "min"


class Trainer:
    """Trains a model on batches and tells callbacks what happened; owns the model, the moments and the state."""

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        schedule: Schedule,
        loop: Loop,
        scorer: Scorer,
        callbacks: Sequence[Callback] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        """Make a trainer; `scorer(labels, scores)` gives metrics by name, `ranks` are those that train the same model."""
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.loop = loop
        self.scorer = scorer
        self.callbacks = list(callbacks)
        self.ranks = ranks
        self.state = TrainState(monitor=loop.monitor, mode=loop.mode)
        self.unfreezing = Unfreezing(model) if loop.gradual_unfreezing else None
        self.moments: Moments = optimizer.create_moments(model.trainable_parameters())
        keep_large_buffers_apart()
        settle(model)
        mx.eval(self.moments)  # whichever thread trains
        self.average: Tree = {}  # of the weights so far, where they are averaged
        self.row_names = RowNames()
        self._step = make_train_step(
            model,
            optimizer,
            max_grad_norm=loop.max_grad_norm,
            use_compilation=loop.use_compilation,
            regularization=loop.regularization,
            reduce_gradients=ranks.reduce_gradients,
        )

    def train(self, train_data: Loader, val_data: Loader | None = None) -> TrainState:
        """Train from the present state to the end, and return the state.

        The first Ctrl-C, SIGTERM or SIGHUP ends the run after the current step: callbacks still get `on_train_end`, then
        KeyboardInterrupt is raised, or `Stopped`, which is one. A second Ctrl-C ends it at once.
        """
        claim_process()
        train_data = self.ranks.begin(self, train_data)
        state = self._plan(train_data)
        try:
            with interrupt_after_step(self.ranks.wish(state)) as interruption:
                self._run(train_data, val_data)
        finally:
            for callback in self.callbacks:
                callback.close()
        settle(self.model)
        if state.stop_reason == INTERRUPTED:
            raise interruption.exception()
        return state

    def evaluate(self, data: Loader) -> dict[str, float]:
        """The loss and the metrics of the model, as it is now, on labelled rows; dropout is off meanwhile."""
        return evaluate_model(self.model, data, self.scorer, self.ranks.predict)

    def save(self, folder: Path) -> None:
        """Write what `resume` reads into an existing folder.

        Raises:
            DivergenceError: a weight is not finite.
        """
        self._check_weights()
        extra = {"average": self.average} if self.average else {}
        save_resumable(folder, self.state, self.model.trainable_parameters(), self.moments | extra)

    def resume(self, folder: Path) -> None:
        """Continue from a checkpoint exactly where it was taken."""
        self.state, parameters, self.moments = load_resumable(folder)
        self.average = self.moments.pop("average", {})
        self.state.stop_reason = ""
        self.model.update(parameters)

    def _run(self, train_data: Loader, val_data: Loader | None) -> None:
        state = self.state
        self._notify("on_train_begin")
        while not state.stop_reason and state.epoch < state.num_epochs:
            self._notify("on_epoch_begin")
            if state.stop_reason:
                break
            self._unfreeze()
            self._train_epoch(train_data)
            if state.stop_reason == INTERRUPTED:
                break
            self._finish_epoch(len(train_data), val_data)
        if state.skipped_steps:
            logger.warning(
                f"{state.skipped_steps} of {state.step} updates were left out, as they were not finite"
            )
        if self.average and state.stop_reason != INTERRUPTED:
            if val_data is not None:
                raw = self.evaluate(val_data)
                state.raw_metrics = {f"val_{name}": value for name, value in raw.items()}
            self.model.update(self.average)
        self._notify("on_train_end")

    def _plan(self, train_data: Loader) -> TrainState:
        if not hasattr(train_data, "iterate"):
            raise TypeError(
                f"the training data is a {type(train_data).__name__}, expected a loader such as pipeline.make_loader "
                "gives; create_trainer(model) takes tables too"
            )
        if len(train_data) == 0:
            raise ValueError("there are no rows to train on")
        # A class number out of range would train on garbage without a word.
        head, labels = self.model.head, getattr(train_data, "labels", None)
        if isinstance(head, BaseHead) and labels is not None:
            head.check_labels(labels)
        state, loop = self.state, self.loop
        state.num_epochs = loop.epochs
        steps_per_epoch = math.ceil(len(train_data) / loop.gradient_accumulation_steps)
        if state.step and steps_per_epoch != state.steps_per_epoch:
            raise ValueError(
                f"the run to resume had {state.steps_per_epoch} steps per epoch, the data now gives {steps_per_epoch}; "
                "restore the training table, or start a new run"
            )
        state.steps_per_epoch = steps_per_epoch
        state.total_steps = loop.epochs * steps_per_epoch
        if loop.max_steps is not None:
            state.total_steps = min(state.total_steps, loop.max_steps)
        state.planned_steps = state.total_steps
        if state.step >= state.total_steps and state.finished_step == state.step:
            state.stop_reason = ALL_STEPS
        return state

    def _train_epoch(self, train_data: Loader) -> None:
        """Take the steps that are left of the current epoch."""
        state, throughput = self.state, Throughput(self.state)
        self.model.train()
        with closing(_batches(train_data, state)) as batches:
            while not state.stop_reason:
                if state.step >= state.total_steps:
                    state.stop_reason = name_last_step(state, self.loop.max_seconds)
                    return
                group = list(islice(batches, self.loop.gradient_accumulation_steps))
                if not group:
                    return
                self._take_step(group)
                throughput.measure()
                if self.loop.max_seconds is not None:
                    shorten_to_time(state, self.loop.max_seconds)
                is_report = state.step % self.loop.logging_steps == 0 or state.step == 1
                if is_report and state.report_rows:
                    state.record_step()
                    throughput.restart()
                self._notify("on_step_end")

    def _take_step(self, batches: Sequence[Batch]) -> None:
        state = self.state
        state.learning_rate = self.schedule.rate(state.step, state.total_steps)
        key, parameters = random_key(), self.model.trainable_parameters()
        number = state.step + 1 - state.skipped_steps
        result = self._step(parameters, self.moments, batches, state.learning_rate, number)
        mx.eval(result.loss, result.gradient_norm, mx.random.state)  # weights are not touched yet
        loss = float(np.array(result.loss))
        state.gradient_norm = float(np.array(result.gradient_norm))
        if not (math.isfinite(loss) and math.isfinite(state.gradient_norm)):
            self.model.update(parameters)
            self._skip_step(batches, loss, key)
            return
        # The model and this frame let go of the old arrays before evaluation, so they are updated in place.
        self.model.update(result.parameters)
        self.moments = result.moments
        del parameters
        if self.loop.ema_decay or self.loop.swa_start is not None:
            self.average = self._next_average(result.parameters, number)
        mx.eval(result, self.average)
        fit_cache_limit()
        state.batch += len(batches)
        state.count_step(loss, *self.ranks.count(batches))

    def _skip_step(self, batches: Sequence[Batch], loss: float, key: mx.array) -> None:
        """Leave out an update that is not finite, where that is wanted.

        Raises:
            DivergenceError: it is not wanted, or was done too often; says where it begins and with which rows.
        """
        state = self.state
        found = find_divergence(self.model, batches, key)
        what = f"loss {loss:g}, gradient norm {state.gradient_norm:g}"
        where = self.ranks.choose_text(
            f"not finite first: {found.part}\n  {self.row_names.describe(found)}",
            is_found=found.part != IN_SUM,
        )
        advice = f"try a lower --lr (it was {state.learning_rate:g})"
        if not self.loop.skip_nonfinite:
            raise DivergenceError(
                f"training diverged at step {state.step + 1}: {what}; {advice}, --precision f32, or --skip-nonfinite, "
                f"which leaves out such updates, up to {MOST_IN_A_ROW} in a row\n  {where}"
            )
        state.skip_step()
        if state.skipped_in_a_row == MOST_IN_A_ROW:
            raise DivergenceError(
                f"training diverged at step {state.step}: {what}, and the {MOST_IN_A_ROW} updates up to here were left out; "
                f"{advice} or --precision f32\n  {where}"
            )
        logger.warning(f"step {state.step} is left out: {what}\n  {where}")
        state.batch += len(batches)

    def _next_average(self, parameters: Tree, number: int) -> Tree:
        """The average with the weights after this update, of which there were so many."""
        state, loop = self.state, self.loop
        before, self.average = self.average or parameters, {}
        if loop.swa_start is None:
            return average_weights(before, parameters, loop.ema_decay, number)
        if not is_averaged(loop.swa_start, state.step + 1, state.total_steps):
            return {}
        state.averaged_steps += 1
        return mean_weights(before, parameters, state.averaged_steps)

    def _unfreeze(self) -> None:
        """Train the layers that this epoch trains; new ones begin without moments."""
        if self.unfreezing is None:
            return
        self.unfreezing.advance(self.state.epoch)
        parameters = self.model.trainable_parameters()
        self.moments = complete_moments(self.moments, self.optimizer.create_moments(parameters))
        if self.average:
            self.average = complete(self.average, parameters)

    def _finish_epoch(self, num_batches: int, val_data: Loader | None) -> None:
        """Evaluate and count the epoch; one that `max_steps` cut short is not counted."""
        state = self.state
        self._check_weights()
        if not state.epoch_rows:
            raise DivergenceError(
                f"training diverged in epoch {state.epoch + 1}: no update was finite"
            )
        epoch_loss, epoch_number = state.epoch_loss / state.epoch_rows, state.epoch + 1
        if state.batch >= num_batches:
            state.finish_epoch()
        if val_data is not None:
            started = time.perf_counter()
            with self._averaged():
                metrics = {f"val_{name}": value for name, value in self.evaluate(val_data).items()}
                state.seconds += time.perf_counter() - started
                state.record_evaluation(epoch_number, epoch_loss, metrics)
                self._notify("on_evaluate_end")
        state.finished_step = state.step
        self._notify("on_epoch_end")

    def _check_weights(self) -> None:
        """Keep weights that a finite gradient made infinite out of every checkpoint."""
        name = find_nonfinite(self.model.trainable_parameters())
        if name is not None:
            raise DivergenceError(
                f"training diverged at step {self.state.step}: the weight {name} is not finite after its update; try a "
                f"lower --lr (it was {self.state.learning_rate:g})"
            )

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Inside the block the model has the averaged weights, where they are averaged."""
        if not self.average:
            yield
            return
        parameters = self.model.trainable_parameters()
        self.model.update(self.average)
        try:
            yield
        finally:
            self.model.update(parameters)

    def _notify(self, hook: str) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self.state)
        self.ranks.agree(self.state)


def evaluate_model(
    model: Model,
    data: Loader,
    scorer: Scorer,
    predict: Callable[[Model, Loader], Predictions] = predict_batches,
) -> dict[str, float]:
    """The loss and the metrics of a model on labelled rows, as `predict` answers them; dropout is off meanwhile.

    Raises:
        ValueError: the rows have no labels.
    """
    answer = predict(model, data)
    if answer.loss is None or answer.labels is None:
        raise ValueError(
            "the data to evaluate on has no labels; give a table with the target column"
        )
    return {"loss": answer.loss, **scorer(answer.labels, answer.scores)}


def _batches(data: Loader, state: TrainState) -> Generator[Batch, None, None]:
    # Closing this generator also closes the loader's, and with it the prefetch thread.
    yield from data.iterate(state.epoch, state.batch)
