"""QuantizedLinear, QuantizedEmbedding: MLX's quantized layers behind the calls of tokenwise.py."""

from collections.abc import Iterable
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.models.tokenwise import Embedding, Linear

GROUP_SIZES = (32, 64, 128)
BITS = (4, 8)
# What MLX calls the parts of a quantized weight.
PARTS = ("weight", "scales", "biases")


class _Frozen(set[str]):
    """The frozen names of a quantized layer: whole numbers have no gradient, whatever `unfreeze` is asked."""

    def clear(self) -> None:
        super().clear()
        self.update(PARTS)

    def difference_update(self, *others: Iterable[Any]) -> None:
        super().difference_update(*others)
        self.update(PARTS)


def check_quantization(width: int, group_size: int, bits: int) -> None:
    """Refuse what MLX cannot quantize.

    Args:
        width: the inputs of a layer, or the size of an embedding.
        group_size: so many neighbouring weights of a row share a scale and an offset.
        bits: of each weight.

    Raises:
        ValueError: unknown bits or group size, or one that does not divide the width; the nearest one that does is
            offered.
    """
    if bits not in BITS:
        raise ValueError(f"bits is {bits}, expected one of {_listed(BITS)}")
    if group_size not in GROUP_SIZES:
        near = min(GROUP_SIZES, key=lambda size: abs(size - group_size))
        raise ValueError(
            f"group_size is {group_size}, expected one of {_listed(GROUP_SIZES)}; the nearest is {near}"
        )
    if width % group_size:
        fitting = [size for size in GROUP_SIZES if width % size == 0]
        if not fitting:
            raise ValueError(
                f"rows of {width} weights cannot be quantized: {width} is no multiple of "
                f"{_listed(GROUP_SIZES)}; choose a hidden_size and intermediate_size that are multiples of 32"
            )
        near = min(fitting, key=lambda size: abs(size - group_size))
        raise ValueError(
            f"rows of {width} weights have no whole groups of {group_size}; use group_size={near}"
        )


class QuantizedLinear(nn.QuantizedLinear):
    """y = activation(x W^T + b) with W in 4 or 8 bits: w = scale * q + bias of the group that w is in.

    The weight is frozen and stays frozen; gradients reach x and, once it is unfrozen, b.

    Args:
        num_inputs: a multiple of group_size.
        num_outputs: the rows of W.
        bias: whether there is a b.
        group_size: 32, 64 or 128 neighbours share a scale and an offset.
        bits: 4 or 8.

    Raises:
        ValueError: see `check_quantization`.
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, *, bias: bool, group_size: int = 64, bits: int = 4
    ) -> None:
        check_quantization(num_inputs, group_size, bits)
        self.biases: mx.array
        super().__init__(num_inputs, num_outputs, bias, group_size, bits)
        self._no_grad = _Frozen(self._no_grad)

    @classmethod  # of our Linear, which is no nn.Linear
    def from_linear(  # type: ignore[override]
        cls, linear: Linear, group_size: int = 64, bits: int = 4
    ) -> Self:
        """Quantize a layer; the layer itself stays as it is."""
        num_outputs, num_inputs = linear.weight.shape
        layer = cls(num_inputs, num_outputs, bias=False, group_size=group_size, bits=bits)
        layer.weight, layer.scales, layer.biases = mx.quantize(
            linear.weight, group_size=group_size, bits=bits
        )
        if "bias" in linear:
            layer.bias = linear.bias
            layer.freeze(keys="bias")
        layer.train(linear.training)
        return layer

    @property
    def num_inputs(self) -> int:
        """How wide a row of W is."""
        return int(self.scales.shape[1] * self.group_size)

    @property
    def num_outputs(self) -> int:
        """How many rows W has."""
        return int(self.scales.shape[0])

    def __call__(self, x: mx.array, activation: kernels.Activation = "none") -> mx.array:
        """Map [..., num_inputs] to [..., num_outputs] in the type of x, half of it with a gated activation."""
        return kernels.quantized_linear(
            x,
            self.weight,
            self.scales,
            self.biases,
            self.get("bias"),
            activation,
            group_size=self.group_size,
            bits=self.bits,
        )

    def full_weight(self) -> mx.array:
        """The weight that the quantized one stands for, [num_outputs, num_inputs] in f32."""
        return dequantize(self)

    def to_full(self) -> Linear:
        """The layer with its full weight again, trainable; what rounding took is lost."""
        num_outputs, num_inputs = self.num_outputs, self.num_inputs
        linear = Linear(num_inputs, num_outputs, bias=False, initialize=mx.zeros)
        linear.weight = self.full_weight()
        if "bias" in self:
            linear.bias = self.bias
        linear.train(self.training)
        return linear


class QuantizedEmbedding(nn.QuantizedEmbedding):
    """A table of vectors [V, H] in 4 or 8 bits.

    Args:
        num_entries: V.
        size: H, a multiple of group_size.
        group_size: 32, 64 or 128 neighbours share a scale and an offset.
        bits: 4 or 8.

    Raises:
        ValueError: see `check_quantization`.
    """

    def __init__(self, num_entries: int, size: int, *, group_size: int = 64, bits: int = 4) -> None:
        check_quantization(size, group_size, bits)
        self.biases: mx.array
        super().__init__(num_entries, size, group_size, bits)
        self._no_grad = _Frozen(self._no_grad)

    @classmethod  # of our Embedding, which is no nn.Embedding
    def from_embedding(  # type: ignore[override]
        cls, embedding: Embedding, group_size: int = 64, bits: int = 4
    ) -> Self:
        """Quantize a table; the table itself stays as it is."""
        layer = cls(*embedding.weight.shape, group_size=group_size, bits=bits)
        layer.weight, layer.scales, layer.biases = mx.quantize(
            embedding.weight, group_size=group_size, bits=bits
        )
        layer.train(embedding.training)
        return layer

    # As our Embedding is called: with the type of the activations.
    def __call__(  # type: ignore[override]
        self, ids: mx.array, dtype: mx.Dtype
    ) -> mx.array:
        """The rows of `ids` as `dtype`: [...] to [..., H]."""
        rows = mx.dequantize(
            self.weight[ids],
            self.scales[ids],
            self.biases[ids],
            group_size=self.group_size,
            bits=self.bits,
        )
        return rows.astype(dtype)

    def full_weight(self) -> mx.array:
        """The table that the quantized one stands for, [V, H] in f32."""
        return dequantize(self)

    def to_full(self) -> Embedding:
        """The table in full again, trainable; what rounding took is lost."""
        table = Embedding(*self.full_weight().shape, initialize=mx.zeros)
        table.weight = self.full_weight()
        table.train(self.training)
        return table


def dequantize(layer: QuantizedLinear | QuantizedEmbedding) -> mx.array:
    """The full weight of a quantized layer in f32."""
    weight = mx.dequantize(
        layer.weight,
        layer.scales.astype(mx.float32),
        layer.biases.astype(mx.float32),
        group_size=layer.group_size,
        bits=layer.bits,
    )
    return weight.astype(mx.float32)


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
