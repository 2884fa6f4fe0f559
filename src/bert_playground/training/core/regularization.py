"""Regularization: R-Drop, mixup and adversarial training, as the loss of a batch and its gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map

from bert_playground.data.core.types import Batch
from bert_playground.models.heads.pooling import spread_rows, sum_rows
from bert_playground.tokens import Tokens
from bert_playground.training.core.optimizer import Tree, flatten, is_decayed, unflatten

# (parameters, batch, the share of each row in its mix) → the sum of the rows' losses, and the gradients of that sum.
Gradients = Callable[[Tree, Batch, mx.array], tuple[mx.array, Tree]]
Adversary = Literal["off", "fgm", "awp"]
EPSILONS = {"fgm": 0.1, "awp": 0.01}
TINY = 1e-12  # a gradient of zeros has no direction


@dataclass(frozen=True)
class Regularization:
    """What is asked of a step beside the loss of the head.

    Attributes:
        r_drop: weight of the divergence between two passes with different dropout masks (Liang et al. 2021, arXiv
            2106.14448); 0: one pass.
        mixup: alpha of the Beta distribution that a row's share of its mix is drawn from; 0: rows are not mixed. Pooled
            vectors are mixed (Verma et al. 2019, arXiv 1806.05236), each with that of the next row of the batch.
        adversarial: "fgm" moves the word embeddings of each row (Miyato et al. 2017, arXiv 1605.07725), "awp" each weight
            matrix (Wu et al. 2020, arXiv 2004.05884), to where the loss grows fastest; the loss is the mean of both places.
        epsilon: how far, as a share of the norm of what is moved; None: EPSILONS.
    """

    r_drop: float = 0.0
    mixup: float = 0.0
    adversarial: Adversary = "off"
    epsilon: float | None = None

    def draw_mixing(self) -> mx.array:
        """The share that each row of a batch has in its mix, an f32 scalar; from NumPy's random state."""
        return mx.array(np.random.beta(self.mixup, self.mixup) if self.mixup else 1.0)


NO_REGULARIZATION = Regularization()


def make_gradients(model: nn.Module, asked: Regularization) -> Gradients:
    """The loss of a batch, summed over its labels, with the gradients of what is trained.

    Args:
        model: has `head.loss(logits, labels)`; with any regularization it is a BertWithHead. Its own arrays serve as a
            place to put parameters during tracing.
        asked: what is added.
    """
    loss = _make_loss(model, asked)
    if asked.adversarial == "off":
        gradients: Gradients = mx.value_and_grad(loss)
        return gradients
    epsilon = asked.epsilon or EPSILONS[asked.adversarial]
    make = {"fgm": _move_embeddings, "awp": _move_weights}[asked.adversarial]
    return make(model, loss, epsilon)


def _make_loss(model: nn.Module, asked: Regularization) -> Callable[..., mx.array]:
    """A function (parameters, batch, mixing, what is added to the word embeddings) → the sum of the losses."""

    def task_loss(
        tokens: Tokens, labels: mx.array, mixing: mx.array, weights: mx.array | None
    ) -> tuple[mx.array, mx.array]:
        weighted = {} if weights is None else {"weights": weights}
        if not asked.mixup:
            logits = model(tokens)
            return model.head.loss(logits, labels, **weighted), logits
        pooled = model.head.embed(model.encoder.encode(tokens), model.left_to_head(tokens))
        logits = model.head.answer(mixing * pooled + (1 - mixing) * _next_row(pooled))
        own = model.head.loss(logits, labels, **weighted)
        other = model.head.loss(logits, _next_row(labels), **weighted)
        return mixing * own + (1 - mixing) * other, logits

    def loss_of(
        parameters: Tree, batch: Batch, mixing: mx.array, added: mx.array | None = None
    ) -> mx.array:
        model.update(parameters)
        assert batch.labels is not None
        tokens = batch.tokens if added is None else batch.tokens._replace(added=added)
        loss, logits = task_loss(tokens, batch.labels, mixing, batch.weights)
        if asked.r_drop:
            second_loss, second = task_loss(tokens, batch.labels, mixing, batch.weights)
            divergence = model.head.divergence(logits, second).mean()
            loss = 0.5 * (loss + second_loss) + asked.r_drop * divergence
        # The sum, not the mean: sums of several batches can be added before the one division.
        return loss * (batch.labels.shape[0] if batch.weights is None else batch.weights.sum())

    return loss_of


def _next_row(values: mx.array) -> mx.array:
    """Each row's successor in the batch, whose order is another in each epoch; the last one's is the first."""
    return mx.roll(values, -1, 0)


def _move_embeddings(model: nn.Module, loss: Callable[..., mx.array], epsilon: float) -> Gradients:
    both = mx.value_and_grad(loss, argnums=(0, 3))
    plain = mx.value_and_grad(loss)

    def gradients(parameters: Tree, batch: Batch, mixing: mx.array) -> tuple[mx.array, Tree]:
        ids = batch.tokens.input_ids
        none = mx.zeros((*ids.shape, model.encoder.hidden_size), dtype=model.encoder.dtype)
        value, (at_rest, slope) = both(parameters, batch, mixing, none)
        model.update(parameters)  # instead of what was traced
        words = model.encoder.embeddings.words(ids, mx.float32)
        size = epsilon * _row_norms(words, batch.tokens)
        slope = slope.astype(mx.float32)
        move = slope * spread_rows(size / (_row_norms(slope, batch.tokens) + TINY), batch.tokens)
        moved_value, moved = plain(parameters, batch, mixing, move.astype(none.dtype))
        return _mean(value, moved_value), tree_map(_mean, at_rest, moved)

    return gradients


def _row_norms(vectors: mx.array, tokens: Tokens) -> mx.array:
    """The Euclidean norm of all vectors of a row together: [B, T, H] or [N, H] to [B, 1]."""
    return mx.sqrt(sum_rows(mx.square(vectors).sum(axis=-1, keepdims=True), tokens))


def _move_weights(model: nn.Module, loss: Callable[..., mx.array], epsilon: float) -> Gradients:
    plain = mx.value_and_grad(loss)

    def move(parameter: mx.array, gradient: mx.array) -> mx.array:
        if not is_decayed(parameter):
            return parameter
        size = epsilon * _norm(parameter) / (_norm(gradient) + TINY)
        return parameter + size * gradient

    def gradients(parameters: Tree, batch: Batch, mixing: mx.array) -> tuple[mx.array, Tree]:
        value, at_rest = plain(parameters, batch, mixing)
        slopes = flatten(at_rest)
        leaves = {name: move(p, slopes[name]) for name, p in flatten(parameters).items()}
        moved_value, moved = plain(unflatten(leaves), batch, mixing)
        rest = flatten(at_rest)
        joined = {name: _mean(rest[name], g) for name, g in flatten(moved).items()}
        return _mean(value, moved_value), unflatten(joined)

    return gradients


def _norm(array: mx.array) -> mx.array:
    return mx.sqrt(mx.square(array).sum())


def _mean(one: Any, other: Any) -> Any:
    return 0.5 * (one + other)
