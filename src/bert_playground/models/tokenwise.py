"""Token-wise layers (Linear, Norm, Embedding) on the kernel functions, computed by kernels.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from bert_playground import kernels

Initializer = Callable[[Sequence[int]], mx.array]


def normal(std: float) -> Initializer:
    """Draw weights from a normal distribution around 0."""
    return lambda shape: mx.random.normal(shape) * std


def truncated_normal(std: float, cutoff: float) -> Initializer:
    """Draw weights from a normal distribution whose tails beyond `cutoff` standard deviations are cut off."""
    return lambda shape: mx.random.truncated_normal(-cutoff, cutoff, shape) * std


def uniform(limit: float) -> Initializer:
    """Draw weights evenly between -limit and limit."""
    return lambda shape: mx.random.uniform(-limit, limit, shape)


def named_parameters(module: nn.Module) -> dict[str, mx.array]:
    """All parameters by their full names, frozen ones included."""
    return dict(tree_flatten(module.parameters()))


def settle(module: nn.Module) -> None:
    """Compute what is only planned of a module's arrays and of the random state: another thread cannot, but may use them.

    Raises:
        RuntimeError: another thread planned them.
    """
    arrays = [
        array
        for part in module.modules()
        for values in (part, vars(part))
        for array in values.values()
        if isinstance(array, mx.array)
    ]
    try:
        mx.eval(arrays, mx.random.state)
    except RuntimeError as error:
        if "no Stream" in str(error):
            error.add_note(
                "the model was made in another thread; call mx.eval(model.parameters(), mx.random.state) there first"
            )
        raise


@dataclass(frozen=True)
class PackedWeight:
    """A packed weight, and what it was made from and for; no tuple, for a Module would take that for parameters."""

    weight: mx.array | None  # None: dropped
    dtype: mx.Dtype
    activation: kernels.Activation
    packed: mx.array
    num_outputs: int

    def serves(
        self, weight: mx.array | None, dtype: mx.Dtype, activation: kernels.Activation
    ) -> bool:
        """Whether it is this weight's, packed for these activations."""
        return self.weight is weight and (self.dtype, self.activation) == (dtype, activation)


class Linear(nn.Module):
    """y = activation(x W^T + b), with the activation fused into the product."""

    def __init__(
        self, num_inputs: int, num_outputs: int, *, bias: bool, initialize: Initializer
    ) -> None:
        super().__init__()
        self.weight = initialize((num_outputs, num_inputs))
        if bias:
            self.bias = mx.zeros(num_outputs)
        self._packing: mx.Dtype | None = None
        self._drops_original = False
        self._packed: PackedWeight | None = None

    @property
    def num_inputs(self) -> int:
        """How wide a row of W is."""
        return int(self.weight.shape[1])

    @property
    def num_outputs(self) -> int:
        """How many rows W has."""
        return int(self.weight.shape[0])

    @property
    def packing(self) -> mx.Dtype | None:
        """What `prepack_weight` was last told."""
        return self._packing

    def __call__(self, x: mx.array, activation: kernels.Activation = "none") -> mx.array:
        """Map [..., num_inputs] to [..., num_outputs], half of it with a gated activation."""
        packed = self.packed(x.dtype, activation)
        if packed is None:
            return kernels.linear(x, self.kept_weight(), self.get("bias"), activation)
        is_int8 = self._packing == mx.int8
        return kernels.packed_linear(
            x, packed.packed, packed.num_outputs, self.get("bias"), activation, is_int8=is_int8
        )

    def packed(
        self, dtype: mx.Dtype, activation: kernels.Activation = "none"
    ) -> PackedWeight | None:
        """The weight packed for activations of `dtype`; None in training, and where nobody asked for it."""
        if self._packing is None or self.training or not kernels.can_pack():
            return None
        return self._pack(mx.int8 if self._packing == mx.int8 else dtype, activation)

    def _pack(self, dtype: mx.Dtype, activation: kernels.Activation) -> PackedWeight:
        if self._packed is None or not self._packed.serves(self.get("weight"), dtype, activation):
            weight = self.kept_weight()
            packed = kernels.pack(weight, dtype, activation)
            mx.eval(packed)
            num_outputs = weight.shape[0]
            if self._drops_original:
                del self.weight, weight
                mx.clear_cache()  # nothing else has a use for a buffer of that size
            self._packed = PackedWeight(self.get("weight"), dtype, activation, packed, num_outputs)
        return self._packed

    def kept_weight(self) -> mx.array:
        """The weight.

        Raises:
            ValueError: it was dropped for its packed form.
        """
        if "weight" not in self:
            raise ValueError(
                f"this layer kept only its weight packed for {self._packed and self._packed.dtype}; "
                "load the model again to use it in another way"
            )
        return self.weight

    def prepack_weight(self, dtype: mx.Dtype | None, *, drop_original: bool = False) -> None:
        """From now on pack the weight once for evaluation, instead of at every call; None: no longer.

        A new weight is packed anew, but one whose values were overwritten (`weight[...] = `) is not noticed: call this
        again. No gradient passes a packed weight; `train()` takes the weight itself.

        Args:
            dtype: int8 for 8-bit products; any other means the type of the activations as they come.
            drop_original: drop the weight itself when it is packed. It saves most of the memory, and the layer can
                then neither be trained nor saved, nor take other activations.
        """
        self.kept_weight()
        self._packing, self._packed = dtype, None
        self._drops_original = drop_original and dtype is not None


def require_weights(module: nn.Module) -> None:
    """Refuse a module whose weights were dropped for their packed forms: it can be neither saved nor changed."""
    for part in module.modules():
        if isinstance(part, Linear):
            part.kept_weight()


def prepack_weights(
    module: nn.Module, dtype: mx.Dtype | None, *, drop_original: bool = False
) -> None:
    """Prepack every Linear inside: worth its memory where weights stay and many rows come."""
    for part in module.modules():
        if isinstance(part, Linear):
            part.prepack_weight(dtype, drop_original=drop_original)


def cast_embeddings(module: nn.Module, dtype: mx.Dtype) -> None:
    """Cast every embedding table inside to `dtype`: nothing changes for activations of that type but the memory."""
    for part in module.modules():
        if isinstance(part, Embedding):
            part.weight = part.weight.astype(dtype)
            mx.eval(part.weight)


class Norm(nn.Module):
    """Layer norm over the last axis, or RMS norm."""

    def __init__(self, size: int, *, eps: float, bias: bool, rms: bool = False) -> None:
        super().__init__()
        self.weight = mx.ones(size)
        if bias and not rms:
            self.bias = mx.zeros(size)
        self.eps = eps
        self.rms = rms

    def __call__(self, x: mx.array) -> mx.array:
        """Norm [..., H]."""
        return kernels.norm(x, self.weight, self.get("bias"), eps=self.eps, rms=self.rms)

    def add(
        self, update: mx.array, residual: mx.array, dropout_rate: float = 0.0
    ) -> tuple[mx.array, mx.array]:
        """Fuse the residual sum with the norm: h = residual + dropout(update), returned as (norm(h), h)."""
        return kernels.add_norm(
            update,
            residual,
            self.weight,
            self.get("bias"),
            eps=self.eps,
            rms=self.rms,
            dropout_rate=dropout_rate,
        )


class Embedding(nn.Module):
    """A table of vectors, [V, H]."""

    def __init__(self, num_entries: int, size: int, *, initialize: Initializer) -> None:
        super().__init__()
        self.weight = initialize((num_entries, size))

    def __call__(self, ids: mx.array, dtype: mx.Dtype) -> mx.array:
        """The rows of `ids` as `dtype`: [...] to [..., H]."""
        return kernels.embedding(self.weight, ids, dtype)
