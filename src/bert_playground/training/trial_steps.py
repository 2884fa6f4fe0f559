"""make_trial: steps as a run would take them, on a model of their own that nobody keeps."""

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from bert_playground.config.schema import RunConfig
from bert_playground.data.core.types import Batch
from bert_playground.data.pipeline import TextPipeline
from bert_playground.training.build import create_task_model
from bert_playground.training.core.precision import set_precision, use_gradient_checkpointing
from bert_playground.training.core.step import is_compilation_worthwhile, make_train_step
from bert_playground.training.create_optimizer import (
    create_optimizer,
    create_regularization,
    freeze,
)

TakeStep = Callable[[Sequence[Batch], float], float]


def make_trial(config: RunConfig, pipeline: TextPipeline, labels: np.ndarray) -> TakeStep:
    """A function (batches, learning rate) → loss that takes one optimizer step.

    Args:
        config: what was asked for: encoder, head, optimizer, regularisation, precision.
        pipeline: fitted.
        labels: of the training rows.
    """
    training = config.training
    model = create_task_model(config, pipeline, labels)
    freeze(model, training.freeze)
    set_precision(model, training.precision)
    if training.gradient_checkpointing:
        use_gradient_checkpointing(model)
    model.train()
    optimizer = create_optimizer(config.optimizer, model)
    step = make_train_step(
        model,
        optimizer,
        max_grad_norm=training.max_grad_norm,
        use_compilation=training.use_compilation and is_compilation_worthwhile(),
        regularization=create_regularization(training),
    )
    # In a box, so that a step can take the old arrays away before it is computed, and they are updated in place.
    state = [optimizer.create_moments(model.trainable_parameters())]
    count = 0

    def take_step(batches: Sequence[Batch], learning_rate: float) -> float:
        nonlocal count
        count += 1
        moments = state.pop()
        result = step(model.trainable_parameters(), moments, batches, learning_rate, count)
        model.update(result.parameters)
        state.append(result.moments)
        del moments
        mx.eval(result, mx.random.state)
        return float(np.array(result.loss))

    return take_step
