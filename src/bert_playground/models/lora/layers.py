"""LoRALinear: from_base, fuse."""

from typing import Self

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.models.tokenwise import Linear


class LoRALinear(nn.Module):
    """y = x W^T + b + scale * x A^T B^T, with W and b frozen.

    The output may have several equal parts (query, key, value), and adapted parts have an A and a B each. B starts
    at 0, so that the adapted layer starts as the base.

    Reference: Hu et al. 2021, arXiv 2106.09685.
    """

    def __init__(
        self,
        base: Linear,
        *,
        rank: int,
        scale: float,
        dropout_rate: float,
        parts: tuple[int, ...] = (0,),
        num_parts: int = 1,
    ) -> None:
        super().__init__()
        num_outputs, num_inputs = base.weight.shape
        bound = num_inputs**-0.5
        self.base = base
        self.lora_a = mx.random.uniform(-bound, bound, (len(parts), rank, num_inputs))
        self.lora_b = mx.zeros((len(parts), num_outputs // num_parts, rank))
        self.scale = scale
        self.dropout_rate = dropout_rate
        self._parts = parts
        self._num_parts = num_parts

    @classmethod
    def from_base(
        cls,
        base: Linear,
        *,
        rank: int,
        scale: float,
        dropout_rate: float,
        parts: tuple[int, ...] = (0,),
        num_parts: int = 1,
    ) -> Self:
        """Wrap a layer and freeze it; `fuse` undoes it."""
        layer = cls(
            base,
            rank=rank,
            scale=scale,
            dropout_rate=dropout_rate,
            parts=parts,
            num_parts=num_parts,
        )
        layer.base.freeze()
        return layer

    def __call__(self, x: mx.array, activation: kernels.Activation = "none") -> mx.array:
        """Map [..., num_inputs] to [..., num_outputs], half of it with a gated activation."""
        y = self.base(x)
        dropped = kernels.dropout(x, self.dropout_rate if self.training else 0.0)
        # One product for all parts into the narrow middle, then one per part out of it.
        middle = kernels.linear(dropped, self.lora_a.reshape(-1, x.shape[-1]))
        pieces = mx.split(middle, len(self._parts), axis=-1)
        updates = {
            part: kernels.linear(piece, self.lora_b[index])
            for index, (part, piece) in enumerate(zip(self._parts, pieces, strict=True))
        }
        width = self.lora_b.shape[1]
        nothing = mx.zeros((*x.shape[:-1], width), dtype=y.dtype)
        update = mx.concatenate(
            [updates.get(part, nothing) for part in range(self._num_parts)], axis=-1
        )
        return kernels.activate(y + self.scale * update, activation)

    def merged_weight(self) -> mx.array:
        """W + scale * B A, [num_outputs, num_inputs]."""
        updates = dict(zip(self._parts, self.lora_b @ self.lora_a, strict=True))
        nothing = mx.zeros((self.lora_b.shape[1], self.lora_a.shape[2]))
        update = mx.concatenate([updates.get(part, nothing) for part in range(self._num_parts)])
        return self.base.weight + self.scale * update

    def fuse(self) -> Linear:
        """The base layer with the update added to its weight, trainable again."""
        self.base.weight = self.merged_weight()
        self.base.unfreeze()
        return self.base
