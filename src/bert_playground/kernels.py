"""The one door to the native CPU kernels, with the MLX form beside each (the optimizer's: optimizer_kernels.py)."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

import mlx.core as mx

from bert_playground.fast_bf16 import choose_bf16

Activation = Literal["none", "gelu", "geglu", "swiglu"]


def _load_native() -> ModuleType | None:
    """The compiled kernels, or None; BERT_KERNELS=off hides them, BERT_KERNELS=require makes absence an error."""
    wish = os.environ.get("BERT_KERNELS", "auto")
    if wish not in ("auto", "off", "require"):
        raise ValueError(
            f"BERT_KERNELS is {wish!r}, expected one of auto, off, require, or not set"
        )
    if wish == "off":
        return None
    try:
        native = importlib.import_module("bert_playground_kernels")
    except ImportError:
        if wish == "require":
            raise
        return None
    return native if native.AVAILABLE else None


_native = _load_native()


def is_native() -> bool:
    """Whether the native kernels serve the default device; then batches are packed instead of padded."""
    return _native is not None and mx.default_device() == mx.cpu


def native_module() -> ModuleType | None:
    """The native kernels where they serve the default device."""
    return _native if is_native() else None


def serves(dtype: mx.Dtype) -> bool:
    """Whether the native kernels compute activations of this type; f16, which no CPU is fast in, is MLX's own."""
    return is_native() and dtype != mx.float16


def has_fast_bf16() -> bool:
    """Whether bf16 activations are worth choosing: Metal, CUDA, or a CPU that multiplies them faster by our kernels."""
    if mx.default_device() != mx.cpu:
        return True
    return _native is not None and choose_bf16(_native).is_fast


def describe_bf16() -> str:
    """One phrase for `bert doctor`: what `--precision auto` means here, and why."""
    native = native_module()
    if native is None:
        return f"--precision auto is {'bf16' if has_fast_bf16() else 'f32'}"
    choice = choose_bf16(native)
    return f"--precision auto is {'bf16' if choice.is_fast else 'f32'}: {choice.reason}"


def activation_dtype(precision: str) -> mx.Dtype:
    """The type of activations for "f32", "bf16", or "auto": bf16 where it is fast."""
    if precision not in ("auto", "f32", "bf16"):
        raise ValueError(f"unknown precision {precision!r} (known: auto, f32, bf16)")
    is_bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16())
    return mx.bfloat16 if is_bf16 else mx.float32


def describe() -> str:
    """One phrase for `bert info`: which code computes the layers."""
    if is_native():
        assert _native is not None
        advice = getattr(_native, "ADVICE", "")  # an older package has none
        advice = f"; {advice}" if advice else ""
        return f"native CPU kernels ({_native.isa()}, {_native.num_threads()} threads{advice})"
    return "MLX on CPU, no native kernels (slow)" if mx.default_device() == mx.cpu else "MLX"


_key_scopes: list[mx.array] = []


def fresh_key() -> mx.array:
    """A key, uint32 [2], that no dropout mask has used yet: MLX's random state decides, or the scope of `keyed`."""
    if _key_scopes:
        _key_scopes[-1], key = mx.random.split(_key_scopes[-1])
        return key
    # MLX advances its own state only through a draw.
    return mx.random.randint(0, 2**31 - 1, (2,)).astype(mx.uint32)


@contextmanager
def keyed(key: mx.array) -> Iterator[None]:
    """Draw all masks inside from `key`, so that a layer which gradient checkpointing runs twice repeats its masks."""
    _key_scopes.append(mx.stop_gradient(key))  # random bits have no derivative
    try:
        yield
    finally:
        _key_scopes.pop()


def linear(
    x: mx.array, weight: mx.array, bias: mx.array | None = None, activation: Activation = "none"
) -> mx.array:
    """Y = activation(x W^T + b), in the type of x; the weight may stay f32 while activations are bf16.

    Args:
        x: [..., K].
        weight: [M, K].
        bias: [M] or None.
        activation: "gelu" is the erf form; "geglu" and "swiglu" give act(first half) * second half, [..., M / 2].
    """
    if serves(x.dtype):
        assert _native is not None
        return _native.linear(x, weight, bias, activation)
    y = x @ weight.astype(x.dtype).T
    if bias is not None:
        y = y + bias.astype(x.dtype)
    return activate(finite(y), activation)


def quantized_linear(
    x: mx.array,
    weight: mx.array,
    scales: mx.array,
    biases: mx.array,
    bias: mx.array | None = None,
    activation: Activation = "none",
    *,
    group_size: int,
    bits: int,
) -> mx.array:
    """`linear` with a weight [M, K] from mx.quantize, in the type of x; gradients reach x and bias alone."""
    if is_native():
        assert _native is not None
        parts = (weight, scales, biases)
        y = _native.quantized_linear(x, *parts, bias, group_size=group_size, bits=bits)
        return activate(y, activation)
    if mx.default_device() == mx.cpu:  # where MLX's own product is up to 10 times slower
        full = mx.dequantize(weight, scales, biases, group_size=group_size, bits=bits)
        return linear(x, full, bias, activation)
    scales, biases = scales.astype(x.dtype), biases.astype(x.dtype)
    y = mx.quantized_matmul(x, weight, scales, biases, group_size=group_size, bits=bits)
    if bias is not None:
        y = y + bias.astype(x.dtype)
    return activate(y, activation)


def can_pack() -> bool:
    """Whether `pack` and `packed_linear` exist here: they belong to the native kernels."""
    return is_native()


def pack(weight: mx.array, dtype: mx.Dtype, activation: Activation = "none") -> mx.array:
    """A weight rearranged once for many products with activations of `dtype`; int8 also quantizes it, a scale per row.

    The bytes belong to this process: they must never be saved.
    """
    assert _native is not None
    if dtype == mx.int8:
        return _native.pack_int8(weight, activation)
    return _native.pack(weight, dtype, activation)


def packed_linear(
    x: mx.array,
    packed: mx.array,
    num_outputs: int,
    bias: mx.array | None = None,
    activation: Activation = "none",
    *,
    is_int8: bool = False,
) -> mx.array:
    """`linear` with a weight from `pack`, without gradients; int8 quantizes each token of x as it arrives.

    Args:
        x: [..., K], of the type that the weight was packed for, or any with int8.
        packed: from `pack` with the same activation.
        num_outputs: the rows of the weight.
        bias: [num_outputs] or None.
        activation: as in `linear`.
        is_int8: whether the weight was packed as int8.
    """
    assert _native is not None
    product = _native.int8_linear if is_int8 else _native.packed_linear
    return product(x, packed, num_outputs, bias, activation)


def activate(x: mx.array, activation: Activation) -> mx.array:
    """The activation alone, for layers whose product is computed elsewhere (quantized, adapted)."""
    if activation == "none":
        return x
    if serves(x.dtype):
        assert _native is not None
        return _native.activation(x, activation)
    if activation == "gelu":
        return gelu(x)
    value, gate = mx.split(x, 2, axis=-1)
    return finite((gelu(value) if activation == "geglu" else value * mx.sigmoid(value)) * gate)


def finite(x: mx.array) -> mx.array:
    """The same, but f16 ends at its largest number: infinities would soon be subtracted or multiplied by 0, giving NaN."""
    if x.dtype != mx.float16:
        return x
    largest = mx.finfo(mx.float16).max
    return mx.clip(x, -largest, largest)


def gelu(x: mx.array) -> mx.array:
    """X P(X < x) for a standard normal X, the erf form (nn.gelu is compiled, and on Linux wants g++ at run time)."""
    return x * ((1 + mx.erf(x * 2**-0.5)) / 2)


def norm(
    x: mx.array, weight: mx.array, bias: mx.array | None = None, *, eps: float, rms: bool = False
) -> mx.array:
    """Layer norm, or RMS norm, over the last axis."""
    if serves(x.dtype):
        assert _native is not None
        return _native.norm(x, weight, bias, eps=eps, rms=rms)
    weight = weight.astype(x.dtype)
    if rms:
        return mx.fast.rms_norm(x, weight, eps)
    return mx.fast.layer_norm(x, weight, None if bias is None else bias.astype(x.dtype), eps)


def add_norm(
    x: mx.array,
    residual: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    eps: float,
    rms: bool = False,
    dropout_rate: float = 0.0,
) -> tuple[mx.array, mx.array]:
    """H = residual + dropout(x) and y = norm(h), returned as (y, h)."""
    if serves(x.dtype):
        assert _native is not None
        seed = fresh_key() if dropout_rate > 0 else None
        return _native.add_norm(
            x, residual, weight, bias, eps=eps, rms=rms, dropout=dropout_rate, seed=seed
        )
    h = finite(residual + dropout(x, dropout_rate))
    return norm(h, weight, bias, eps=eps, rms=rms), h


def fork(x: mx.array) -> tuple[mx.array, mx.array]:
    """The same array for two uses; MLX would add up their two gradients on one thread."""
    if serves(x.dtype):
        assert _native is not None
        first, second = _native.fork(x)
        return first, second
    return x, x


def dropout(x: mx.array, rate: float) -> mx.array:
    """Zero each element with probability `rate` and scale the rest by 1 / (1 - rate); MLX's random state decides."""
    if rate <= 0:
        return x
    if serves(x.dtype):
        assert _native is not None
        return _native.dropout(x, rate, fresh_key())
    keep = mx.random.bernoulli(1 - rate, x.shape, key=fresh_key())
    return mx.where(keep, x * (1 / (1 - rate)), mx.zeros_like(x))


def embedding(table: mx.array, ids: mx.array, dtype: mx.Dtype) -> mx.array:
    """Rows of the table as `dtype`: this is where the precision of all activations is chosen."""
    if serves(dtype):
        assert _native is not None
        return _native.embedding(table, ids, dtype)
    return table[ids].astype(dtype)


def cross_entropy(logits: mx.array, labels: mx.array) -> mx.array:
    """-log P(label) of each row in f32, [M], without a second array of the size of the logits.

    Args:
        logits: [M, V].
        labels: [M], integers in 0..V-1.
    """
    labels = labels.astype(mx.int32)
    if serves(logits.dtype):
        assert _native is not None
        return _native.cross_entropy(logits, labels)
    logits = logits.astype(mx.float32)
    of_label = mx.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    return mx.logsumexp(logits, axis=-1) - of_label


def packed_attention(
    qkv: mx.array,
    cu_seqlens: mx.array,
    num_heads: int,
    *,
    half_window: int | None = None,
    cosines: mx.array | None = None,
    sines: mx.array | None = None,
    dropout_rate: float = 0.0,
) -> mx.array:
    """Attention of packed rows, each within itself; without native kernels the cost is quadratic in all tokens.

    Args:
        qkv: [N, 3 * E], the queries, keys and values of all heads side by side.
        cu_seqlens: [B + 1] int32, where rows start and end.
        num_heads: E is num_heads * D.
        half_window: a token sees keys at distance <= half_window; None: the whole row.
        cosines: [positions, D / 2], to rotate queries and keys, pairing j with j + D / 2; None: no RoPE.
        sines: like cosines.
        dropout_rate: on the attention probabilities.

    Returns:
        [N, E].
    """
    if serves(qkv.dtype):
        assert _native is not None
        return _native.attention(
            qkv,
            cu_seqlens,
            num_heads,
            half_window=-1 if half_window is None else half_window,
            cosines=cosines,
            sines=sines,
            dropout=dropout_rate,
            seed=fresh_key() if dropout_rate > 0 else None,
        )
    num_tokens, width, dtype = qkv.shape[0], qkv.shape[1] // 3, qkv.dtype
    head_size = width // num_heads
    if dtype == mx.float16:
        qkv = qkv.astype(mx.float32)  # products of two f16 numbers overflow
    token, row = mx.arange(num_tokens), _row_of_token(cu_seqlens, num_tokens)
    queries, keys, values = (
        part.reshape(num_tokens, num_heads, head_size).transpose(1, 0, 2)
        for part in mx.split(qkv, 3, axis=-1)
    )
    if cosines is not None and sines is not None:
        position = token - cu_seqlens[row]
        queries, keys = (
            rotate(part, cosines[position], sines[position]) for part in (queries, keys)
        )
    visible = row[:, None] == row[None, :]
    if half_window is not None:
        visible = visible & (mx.abs(token[:, None] - token[None, :]) <= half_window)
    scores = (queries @ keys.swapaxes(-1, -2)).astype(mx.float32) * head_size**-0.5
    scores = mx.where(visible, scores, mx.finfo(mx.float32).min)
    probabilities = dropout(mx.softmax(scores, axis=-1), dropout_rate).astype(qkv.dtype)
    attended = (probabilities @ values).astype(dtype)
    return attended.transpose(1, 0, 2).reshape(num_tokens, width)


def sequence_sum(x: mx.array, cu_seqlens: mx.array) -> mx.array:
    """The sum of x [N, C] over each packed row, [B, C] in f32; tokens behind the last row belong to none."""
    if serves(x.dtype):
        assert _native is not None
        return _native.sequence_sum(x, cu_seqlens)
    # One row more than B takes what stands behind the last row.
    sums = mx.zeros((cu_seqlens.shape[0], x.shape[1]))
    return sums.at[_row_of_token(cu_seqlens, x.shape[0])].add(x.astype(mx.float32))[:-1]


def _row_of_token(cu_seqlens: mx.array, num_tokens: int) -> mx.array:
    return (mx.arange(num_tokens)[:, None] >= cu_seqlens[None, 1:]).sum(axis=1)  # [N]


def rotate(x: mx.array, cosines: mx.array, sines: mx.array) -> mx.array:
    """RoPE in the half-split layout: dimension j turns with j + D / 2, in f32 (Su et al. 2021, arXiv 2104.09864)."""
    first, second = mx.split(x.astype(mx.float32), 2, axis=-1)
    turned = mx.concatenate(
        [first * cosines - second * sines, second * cosines + first * sines], axis=-1
    )
    return turned.astype(x.dtype)
