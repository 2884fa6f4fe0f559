"""measure_importance: what heads, neurons and layers are worth, from one pass over training rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_unflatten

from bert_playground.compression.prune import keep_parts
from bert_playground.compression.recipe import LayerChoice
from bert_playground.data.core.types import Batch
from bert_playground.data.loaders import MLXLoader
from bert_playground.inference import evaluation_mode, predict_batches
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.tokenwise import named_parameters

Array = np.ndarray[Any, Any]
OUTPUTS = ("attention.output.weight", "feed_forward.down.weight")


@dataclass(frozen=True)
class Importance:
    """What parts of an encoder are worth; larger is more.

    Attributes:
        heads: [L, N].
        neurons: [L, F].
        layers: [L], the loss without this layer less the loss with all.
    """

    heads: Array
    neurons: Array
    layers: Array

    def choose_layers(self, count: int, choice: LayerChoice) -> list[int]:
        """Which layers are kept, ascending; the first one always, as it reads the embedding."""
        total = len(self.layers)
        if choice == "first":
            return list(range(count))
        if choice == "spread":
            return [round(float(place)) for place in np.linspace(0, total - 1, count)]
        ranked = sorted(range(1, total), key=lambda layer: -self.layers[layer])
        return sorted([0, *ranked[: count - 1]])

    def choose_heads(self, layer: int, count: int) -> list[int]:
        """The most important heads of a layer, ascending."""
        return _largest(self.heads[layer], count)

    def choose_neurons(self, layer: int, count: int) -> list[int]:
        """The most important neurons of a layer, ascending."""
        return _largest(self.neurons[layer], count)


def _largest(values: Array, count: int) -> list[int]:
    return sorted(np.argsort(-values, kind="stable")[:count].tolist())


def measure_importance(model: BertWithHead, loader: MLXLoader) -> Importance:
    """First-order importance of heads and neurons, and the loss without each layer.

    A gate of 1 on a head or a neuron would have the gradient sum(gradient * weight) over the weights that read it; its
    size, averaged over batches, is what the loss changes by to first order when it is gone. Layers are few enough to
    leave out one after the other.

    Args:
        model: the full one.
        loader: labelled training rows, in small batches.

    Reference: Michel et al. 2019, arXiv 1905.10650; Molchanov et al. 2019, arXiv 1906.10771.
    """
    with evaluation_mode(model):
        heads, neurons = _measure_gates(model, loader)
    everything = predict_batches(model, loader).loss
    num_layers = len(model.encoder.layers)
    without = np.zeros(num_layers)
    for layer in range(1, num_layers):
        rest = [other for other in range(num_layers) if other != layer]
        loss = predict_batches(keep_parts(model, rest), loader).loss
        assert loss is not None
        assert everything is not None
        without[layer] = loss - everything
    return Importance(heads, neurons, without)


def _measure_gates(model: BertWithHead, batches: Iterable[Batch]) -> tuple[Array, Array]:
    parameters = named_parameters(model)
    weights = {name: value for name, value in parameters.items() if name.endswith(OUTPUTS)}

    def loss_of(weights: dict[str, mx.array], batch: Batch) -> mx.array:
        model.update(tree_unflatten(list(weights.items())))
        assert batch.labels is not None
        loss: mx.array = model.head.loss(model(batch.tokens), batch.labels)
        return loss

    gradient = mx.grad(loss_of)
    totals: dict[str, Array] = {}
    for batch in batches:
        slopes = gradient(weights, batch)
        gates = {name: (slopes[name] * weights[name]).sum(axis=0) for name in weights}
        mx.eval(gates)
        for name, gate in gates.items():
            totals[name] = totals.get(name, 0) + _join_heads(model, name, np.array(gate))
    model.update(tree_unflatten(list(weights.items())))  # instead of what was traced
    rows = [
        np.stack([totals[f"encoder.layers.{i}.{leaf}"] for i in range(len(model.encoder.layers))])
        for leaf in OUTPUTS
    ]
    return rows[0], rows[1]


def _join_heads(model: BertWithHead, name: str, gate: Array) -> Array:
    """The size of each gate of a batch: of a head its dimensions count together."""
    if name.endswith(OUTPUTS[0]):
        gate = gate.reshape(model.encoder.config.num_attention_heads, -1).sum(axis=1)
    return np.abs(gate)
