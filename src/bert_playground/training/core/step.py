"""The compiled train step: loss, accumulation, clipping, update."""

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from bert_playground import kernels
from bert_playground.data.core.types import Batch
from bert_playground.logger import logger
from bert_playground.training.core.optimizer import Moments, Optimizer, Tree, gradient_norm
from bert_playground.training.core.regularization import (
    NO_REGULARIZATION,
    Regularization,
    make_gradients,
)


class StepResult(NamedTuple):
    """What one optimizer step gives; nothing in it is computed before it is evaluated."""

    parameters: Tree
    moments: Moments
    loss: mx.array  # mean over the real examples of all batches
    gradient_norm: mx.array  # of the mean gradient, before clipping


Function = TypeVar("Function", bound=Callable[..., Any])
TrainStep = Callable[[Tree, Moments, Sequence[Batch], float, int], StepResult]


def make_train_step(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    max_grad_norm: float | None = 1.0,
    use_compilation: bool = True,
    regularization: Regularization = NO_REGULARIZATION,
    reduce_gradients: Callable[[Tree], Tree] | None = None,
) -> TrainStep:
    """A function (parameters, moments, batches, learning rate, step from 1) -> StepResult.

    Its state is explicit: parameters and moments go in and come out, and MLX's random state is declared to the compiler.
    Several batches are one step on their union: each example counts once, however the batches divide them.
    The caller must let go of the old parameters and moments before it evaluates, so that they are updated in place.

    Args:
        model: has `head.loss(logits, labels)`; its own arrays serve as a place to put `parameters` during tracing.
        optimizer: gives the update.
        max_grad_norm: gradients whose joint norm is larger are scaled down to it; None: never.
        use_compilation: trace each new shape of batch once through `mx.compile`.
        regularization: what is asked of the gradients beside the loss of the head.
        reduce_gradients: sums a tree of arrays over the ranks of a distributed run; it gets gradients, loss and number of
            examples together, all of them sums and computed, once per step and before the norm. None: there is one rank.
    """
    loss_and_gradients = gradients_of = make_gradients(model, regularization)

    def update(
        parameters: Tree,
        moments: Moments,
        loss: mx.array,
        gradients: Tree,
        scalars: dict[str, mx.array],
    ) -> StepResult:
        rows = scalars["rows"]
        norm = gradient_norm(gradients) / rows
        scale = 1.0 / rows
        if max_grad_norm is not None:
            scale = scale * mx.minimum(1.0, max_grad_norm / (norm + 1e-6))
        parameters, moments = optimizer.update(
            parameters,
            gradients,
            moments,
            learning_rate=scalars["learning_rate"],
            step=scalars["step"],
            gradient_scale=scale,
        )
        return StepResult(parameters, moments, loss / rows, norm)

    def whole_step(
        parameters: Tree,
        moments: Moments,
        batch: Batch,
        mixing: mx.array,
        scalars: dict[str, mx.array],
    ) -> StepResult:
        return update(parameters, moments, *loss_and_gradients(parameters, batch, mixing), scalars)

    def accumulate(
        parameters: Tree, loss: mx.array, gradients: Tree, batch: Batch, mixing: mx.array
    ) -> tuple[mx.array, Tree]:
        more_loss, more = loss_and_gradients(parameters, batch, mixing)
        return loss + more_loss, tree_map(mx.add, gradients, more)

    if use_compilation:
        whole_step, accumulate = _compiled(whole_step), _compiled(accumulate)
        update, gradients_of = _compiled(update), _compiled(gradients_of)

    def step(
        parameters: Tree,
        moments: Moments,
        batches: Sequence[Batch],
        learning_rate: float,
        step: int,
    ) -> StepResult:
        scalars = {
            "rows": mx.array(float(count_labels(batches))),
            "learning_rate": mx.array(learning_rate),
            "step": mx.array(float(step)),
        }
        if len(batches) == 1 and reduce_gradients is None:
            mixing = regularization.draw_mixing()
            return StepResult(*whole_step(parameters, moments, batches[0], mixing, scalars))
        if len(batches) == 1:
            loss, gradients = gradients_of(parameters, batches[0], regularization.draw_mixing())
        else:
            loss, gradients = _sum_batches(accumulate, parameters, batches, regularization)
        loss, gradients, rows = _sum_over_ranks(reduce_gradients, loss, gradients, scalars["rows"])
        scalars["rows"] = rows
        return StepResult(*update(parameters, moments, loss, gradients, scalars))

    return step


def _sum_batches(
    accumulate: Callable[..., tuple[mx.array, Tree]],
    parameters: Tree,
    batches: Sequence[Batch],
    regularization: Regularization,
) -> tuple[mx.array, Tree]:
    loss, gradients = mx.array(0.0), tree_map(mx.zeros_like, parameters)
    for batch in batches:
        mixing = regularization.draw_mixing()
        loss, gradients = accumulate(parameters, loss, gradients, batch, mixing)
        mx.eval(loss, gradients)  # so that only one batch's activations are alive
    return loss, gradients


def _sum_over_ranks(
    reduce_gradients: Callable[[Tree], Tree] | None,
    loss: mx.array,
    gradients: Tree,
    rows: mx.array,
) -> tuple[mx.array, Tree, mx.array]:
    if reduce_gradients is None:
        return loss, gradients, rows
    sums = reduce_gradients({"gradients": gradients, "loss": loss, "rows": rows})
    return sums["loss"], sums["gradients"], sums["rows"]


def count_rows(batches: Sequence[Batch]) -> int:
    """Examples in several batches."""
    return sum(batch.tokens.num_rows for batch in batches)


def count_labels(batches: Sequence[Batch]) -> int:
    """What the loss is the mean of: one label per row, or one per hidden word in pretraining."""
    return sum(0 if batch.labels is None else batch.labels.shape[0] for batch in batches)


def count_tokens(batches: Sequence[Batch]) -> int:
    """Token positions that are computed, padding included."""
    return sum(batch.tokens.input_ids.size for batch in batches)


def can_compile() -> bool:
    """Whether `mx.compile` works here: on a Linux CPU it calls g++ while the program runs."""
    if sys.platform != "linux" or mx.default_device() != mx.cpu or shutil.which("g++"):
        return True
    logger.info("no g++ found, which mx.compile needs on a Linux CPU: training runs uncompiled")
    return False


def is_compilation_worthwhile() -> bool:
    """Whether to compile the step when the user leaves it open.

    The native kernels take packed batches. Those have a new shape at nearly every step, and each shape is traced anew and kept for ever, while native
    kernels have already fused what the compiler would fuse. Padded batches have few shapes.
    """
    return not kernels.is_native() and can_compile()


def _compiled(function: Function) -> Function:
    # Dropout draws from the random state, which must enter and leave the compiled graph like any other input.
    compiled = mx.compile(function, inputs=mx.random.state, outputs=mx.random.state)
    return cast("Function", compiled)
