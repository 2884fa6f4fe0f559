"""What a model costs: parameters, memory and floating-point operations, counted from shapes alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.nn as nn

from bert_playground.models.quantization_utils import quantized_layers
from bert_playground.models.tokenwise import named_parameters

FLOPS_FORMULA = (
    "forward: 2 per weight of each layer's matrices, and 4 x hidden_size per key that a token sees on average; norms and "
    "activations left out; a training step is 3 forward passes"
)
ACTIVATIONS_FORMULA = (
    "an estimate for a training step without gradient checkpointing: twice the inputs and outputs of each layer's "
    "matrices and the two sums that are normed; measured steps take 0.8 to 1.2 times as much"
)
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class LayerCost:
    """One layer of the encoder.

    Attributes:
        name: in the model, such as layers.3.
        half_window: how far a token sees; None: its whole row.
        parameters: in all.
        flops: of one token in the forward pass.
        step_values: numbers that a training step holds for one token, estimated.
    """

    name: str
    half_window: int | None
    parameters: int
    flops: int
    step_values: int


@dataclass(frozen=True)
class Costs:
    """Of a model on rows of one length.

    Attributes:
        length: T, tokens in a row.
        parts: parameters of the embeddings, the layers, the last norm and the head.
        layers: one by one.
        head_flops: of one row, since a head sees one vector of each row.
        hidden_size: H.
    """

    length: int
    parts: dict[str, int]
    layers: tuple[LayerCost, ...]
    head_flops: int
    hidden_size: int

    @property
    def parameters(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    @property
    def flops(self) -> float:
        """Of one token in the forward pass, with its share of the head."""
        return sum(layer.flops for layer in self.layers) + self.head_flops / self.length

    @property
    def step_values(self) -> int:
        """Numbers that a training step holds for each token, estimated."""
        return sum(layer.step_values for layer in self.layers)


def measure_costs(model: nn.Module, length: int) -> Costs:
    """Count what a model, with or without head, costs on rows of so many tokens; nothing is computed.

    Args:
        model: its weights may be placeholders.
        length: T.
    """
    encoder = model.get("encoder", model)
    config, shapes = encoder.config, full_shapes(encoder)
    windows = getattr(config, "half_windows", (None,) * config.num_hidden_layers)
    layers = tuple(
        _layer_cost(f"layers.{i}", shapes, config.hidden_size, window, length)
        for i, window in enumerate(windows)
    )
    head = full_shapes(model["head"]) if "head" in model else {}
    embeddings = _count(_under("embeddings", shapes))
    numbers = _count(_under("numbers", shapes))
    in_layers = sum(layer.parameters for layer in layers)
    return Costs(
        length=length,
        parts={
            "embeddings": embeddings,
            "layers": in_layers,
            "numbers": numbers,
            "final norm": _count(shapes) - embeddings - numbers - in_layers,
            "head": _count(head),
        },
        layers=layers,
        head_flops=2 * _count(_matrices(head)),
        hidden_size=config.hidden_size,
    )


def full_shapes(module: nn.Module) -> Shapes:
    """The shape of each parameter; of quantized ones that of the weight which they stand for."""
    shapes = {name: tuple(value.shape) for name, value in named_parameters(module).items()}
    for name, layer in quantized_layers(module).items():
        rows, packed = shapes[f"{name}.weight"]
        shapes[f"{name}.weight"] = (rows, packed * 32 // layer.bits)
        for leaf in ("scales", "biases"):
            shapes.pop(f"{name}.{leaf}", None)
    return shapes


def seen_keys(length: int, half_window: int | None) -> float:
    """How many keys a token sees, on average over a row: those at distance <= half_window, itself among them."""
    if half_window is None:
        return float(length)
    reach = min(half_window, length - 1)
    # To one side: 0, 1, … up to the reach, and the reach itself for all other tokens.
    to_one_side = reach * (reach + 1) // 2 + (length - 1 - reach) * half_window
    return 1 + 2 * to_one_side / length


def _layer_cost(
    name: str, shapes: Shapes, hidden_size: int, half_window: int | None, length: int
) -> LayerCost:
    own = _under(name, shapes)
    matrices = _matrices(own)
    width = own[f"{name}.attention.output.weight"][1]  # of all heads together
    attention = round(4 * width * seen_keys(length, half_window))
    return LayerCost(
        name=name,
        half_window=half_window,
        parameters=_count(own),
        flops=2 * _count(matrices) + attention,
        step_values=2 * (2 * hidden_size + sum(sum(shape) for shape in matrices.values())),
    )


def _under(prefix: str, shapes: Mapping[str, Any]) -> Shapes:
    return {name: shape for name, shape in shapes.items() if name.startswith(f"{prefix}.")}


def _matrices(shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    return {name: shape for name, shape in shapes.items() if len(shape) == 2}


def _count(shapes: Mapping[str, tuple[int, ...]]) -> int:
    total = 0
    for shape in shapes.values():
        size = 1
        for length in shape:
            size *= length
        total += size
    return total
