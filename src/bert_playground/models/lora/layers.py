"""LoRALinear, DoRALinear: from_base, fuse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground import kernels
from bert_playground.models.quantized_layers import QuantizedLinear
from bert_playground.models.tokenwise import Linear


@dataclass(frozen=True)
class _Layout:
    """Which parts of the output are adapted, and how; no tuple, for a Module would take that for parameters."""

    parts: tuple[int, ...]
    num_parts: int
    ranks: tuple[int, ...]
    scales: tuple[float, ...]


TINY = 1e-24  # a row of zeros has no direction: its length must not divide


class LoRALinear(nn.Module):
    """y = x W^T + b + scale * x A^T B^T, with W and b frozen.

    The output may have several equal parts (query, key, value), and each adapted part has an A and a B of its own rank.
    They lie beside each other, in `lora_a` [sum of ranks, num_inputs] and `lora_b` [rows of a part, sum of ranks]. B
    starts at 0, so that the adapted layer starts as the base.

    Args:
        base: the layer to adapt, in full or quantized.
        ranks: of each adapted part.
        scales: the factor of each adapted part's update.
        parts: which parts of the output are adapted.
        num_parts: how many the output has.
        dropout_rate: on the adapter's input.
        trained_bias: the biases that are trained too: "none", "parts" (those of the adapted parts) or "all".

    Reference: Hu et al. 2021, arXiv 2106.09685.
    """

    def __init__(
        self,
        base: Linear | QuantizedLinear,
        *,
        ranks: Sequence[int],
        scales: Sequence[float],
        parts: Sequence[int] = (0,),
        num_parts: int = 1,
        dropout_rate: float = 0.0,
        trained_bias: str = "none",
    ) -> None:
        super().__init__()
        num_outputs, num_inputs = base.num_outputs, base.num_inputs
        bound = num_inputs**-0.5
        self.base = base
        self.lora_a = mx.random.uniform(-bound, bound, (sum(ranks), num_inputs))
        self.lora_b = mx.zeros((num_outputs // num_parts, sum(ranks)))
        self.dropout_rate = dropout_rate
        self._layout = _Layout(tuple(parts), num_parts, tuple(ranks), tuple(scales))
        # [num_parts, sum of ranks]: each part reads its own columns of lora_b, times its scale.
        self._columns = mx.concatenate(
            [
                mx.where(mx.arange(num_parts)[:, None] == part, scale, 0.0) * mx.ones((1, rank))
                for part, rank, scale in zip(parts, ranks, scales, strict=True)
            ],
            axis=1,
        )
        if trained_bias != "none" and "bias" in base:
            self.bias_update = mx.zeros(num_outputs)
            trained = [trained_bias == "all" or part in self.parts for part in range(num_parts)]
            self._trained_bias = mx.repeat(mx.array(trained), num_outputs // num_parts)

    @property
    def parts(self) -> tuple[int, ...]:
        """The adapted parts of the output."""
        return self._layout.parts

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each adapted part."""
        return self._layout.ranks

    @property
    def scales(self) -> tuple[float, ...]:
        """The factor of each adapted part's update."""
        return self._layout.scales

    @property
    def trained_bias(self) -> mx.array:
        """Booleans [num_outputs]: which biases are trained."""
        return self._trained_bias

    @classmethod
    def from_base(cls, base: Linear | QuantizedLinear, **options: Any) -> Self:
        """Wrap a layer and freeze it; `fuse` gives a plain layer again."""
        layer = cls(base, **options)
        layer.base.freeze()
        layer.train(base.training)
        return layer

    def __call__(self, x: mx.array, activation: kernels.Activation = "none") -> mx.array:
        """Map [..., num_inputs] to [..., num_outputs], half of it with a gated activation."""
        update = kernels.linear(self._middle(x), self.update_factor(), self.bias_change())
        return kernels.activate(self.base(x) + update, activation)

    def _middle(self, x: mx.array) -> mx.array:
        """The narrow product x A^T of all parts, [..., sum of ranks]."""
        return kernels.linear(
            kernels.dropout(x, self.dropout_rate if self.training else 0.0), self.lora_a
        )

    def update_factor(self) -> mx.array:
        """B times its scale for all outputs, [num_outputs, sum of ranks], 0 where a part does not read."""
        blocks = self.lora_b[None] * self._columns[:, None]
        return blocks.reshape(-1, self.lora_b.shape[1])

    def bias_change(self) -> mx.array | None:
        """What has been added to the bias, [num_outputs]; None where no bias is trained."""
        return self.bias_update * self._trained_bias if "bias_update" in self else None

    def merged_weight(self) -> mx.array:
        """W + scale * B A, [num_outputs, num_inputs] in f32."""
        return full_weight(self.base) + self.update_factor() @ self.lora_a

    def merged_bias(self) -> mx.array | None:
        """The bias with its update, or None where the base has none."""
        bias: mx.array | None = self.base.get("bias")
        update = self.bias_change()
        return bias if bias is None or update is None else bias + update

    def fuse(self, *, requantize: bool = False) -> Linear | QuantizedLinear:
        """A plain layer with the update added to the weight; this one and its base stay as they are.

        Args:
            requantize: quantize the sum as the base is; otherwise it is a full layer.
        """
        return plain_layer(
            self.base, self.merged_weight(), self.merged_bias(), requantize=requantize
        )


class DoRALinear(LoRALinear):
    """y = m * x V^T / |V| + b, with V = W + scale * B A and |V| the length of each of its rows.

    The lengths m of the adapted parts' rows are trained apart from the directions; they start as |W|, and |V| counts as
    a constant in the backward pass. What dropout takes from the update it leaves to the base.

    Reference: Liu et al. 2024, arXiv 2402.09353, sections 4.1 and 4.3.
    """

    def __init__(self, base: Linear | QuantizedLinear, **options: Any) -> None:
        super().__init__(base, **options)
        self._squares: tuple[mx.array, mx.array] | None = None
        lengths = mx.sqrt(self._base_squares()).reshape(self._layout.num_parts, -1)
        self.magnitude = lengths[mx.array(self.parts)].reshape(-1)
        mx.eval(self.magnitude)

    def __call__(self, x: mx.array, activation: kernels.Activation = "none") -> mx.array:
        """Map [..., num_inputs] to [..., num_outputs], half of it with a gated activation."""
        scales = self.row_scales()
        # The base has added its bias already, and lengths do not concern it.
        offset = self.bias_change()
        if "bias" in self.base:
            kept = (1 - scales) * self.base.bias
            offset = kept if offset is None else kept + offset
        # B and what is added to the bias are scaled rather than the sum, which has far more numbers. Where scales are 1,
        # nothing is rounded.
        factor = scales[:, None] * self.update_factor()
        update = kernels.linear(self._middle(x), factor, offset)
        scaled = (self.base(x).astype(mx.float32) * scales).astype(x.dtype)
        return kernels.activate(scaled + update, activation)

    def row_scales(self) -> mx.array:
        """The factors m / |V|, [num_outputs], 1 in the parts that are not adapted; gradients reach m alone.

        |W + U A|^2 = |W|^2 + U . (2 W A^T + U A A^T) row by row, so V itself is never made.
        """
        factor, lora_a = mx.stop_gradient(self.update_factor()), mx.stop_gradient(self.lora_a)
        crossed = times_weight(self.base, lora_a).T  # [num_outputs, sum of ranks]
        squares = self._base_squares() + (
            factor * (2 * crossed + factor @ (lora_a @ lora_a.T))
        ).sum(axis=1)
        lengths = mx.sqrt(mx.maximum(squares, TINY)).reshape(self._layout.num_parts, -1)
        trained = dict(zip(self.parts, self.magnitude.reshape(len(self.parts), -1), strict=True))
        fixed = mx.ones(lengths.shape[1])
        return mx.concatenate(
            [
                trained[part] / lengths[part] if part in trained else fixed
                for part in range(self._layout.num_parts)
            ]
        )

    def _base_squares(self) -> mx.array:
        """|W|^2 row by row, summed anew only when the base has another weight."""
        if self._squares is None or self._squares[0] is not self.base.weight:
            squares = mx.square(full_weight(self.base)).sum(axis=1)
            mx.eval(squares)
            self._squares = (self.base.weight, squares)
        return self._squares[1]

    def full_magnitude(self) -> mx.array:
        """The length of every row, [num_outputs]: trained ones, and those of the base in parts that are not adapted."""
        lengths = list(mx.sqrt(self._base_squares()).reshape(self._layout.num_parts, -1))
        for part, row in zip(self.parts, self.magnitude.reshape(len(self.parts), -1), strict=True):
            lengths[part] = row
        return mx.concatenate(lengths)

    def set_magnitude(self, part: int, values: np.ndarray[Any, Any]) -> None:
        """Give the rows of an adapted part their lengths."""
        rows = np.array(self.magnitude).reshape(len(self.parts), -1)
        rows[self.parts.index(part)] = values
        self.magnitude = mx.array(rows.reshape(-1))

    def merged_weight(self) -> mx.array:
        """The rows m V / |V|, [num_outputs, num_inputs] in f32."""
        return self.row_scales()[:, None] * super().merged_weight()


def full_weight(layer: Linear | QuantizedLinear) -> mx.array:
    """A layer's weight, [num_outputs, num_inputs] in f32."""
    if isinstance(layer, QuantizedLinear):
        return layer.full_weight()
    return layer.weight.astype(mx.float32)


def times_weight(layer: Linear | QuantizedLinear, x: mx.array) -> mx.array:
    """The product x W^T without bias."""
    if isinstance(layer, QuantizedLinear):
        parts = (layer.weight, layer.scales, layer.biases)
        return kernels.quantized_linear(x, *parts, group_size=layer.group_size, bits=layer.bits)
    return kernels.linear(x, layer.weight)


def plain_layer(
    base: Linear | QuantizedLinear,
    weight: mx.array,
    bias: mx.array | None,
    *,
    requantize: bool = False,
) -> Linear | QuantizedLinear:
    """A layer like `base` with other numbers; quantized only if `base` is and `requantize` asks for it."""
    layer = Linear(base.num_inputs, base.num_outputs, bias=False, initialize=mx.zeros)
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    layer.train(base.training)
    if isinstance(base, Linear):
        layer.prepack_weight(base.packing)
    elif requantize:
        return QuantizedLinear.from_linear(layer, base.group_size, base.bits)
    return layer
