"""The operations, as plain Python signatures over the native module."""

from collections.abc import Sequence

import mlx.core as mx

from ._load import native as _native


def isa() -> str:
    """The instruction set in use: avx2, avx512, avx512_bf16 or amx."""
    return _native.isa()


def has_fast_bf16() -> bool:
    """Whether bfloat16 activations are faster than float32 on this CPU."""
    return _native.has_fast_bf16()


def num_threads() -> int:
    """Threads per operation; OMP_NUM_THREADS sets it."""
    return _native.num_threads()


def linear(
    x: mx.array, weight: mx.array, bias: mx.array | None = None, activation: str = "none"
) -> mx.array:
    """act(x weight^T + bias).

    Gradients are computed only for the arrays that are asked for: a frozen weight costs nothing.

    Args:
        x: [..., in_features].
        weight: [out_features, in_features].
        bias: [out_features].
        activation: none, gelu (the erf form), or geglu and swiglu, which return act(first half) * second half of the
            outputs, hence [..., out_features / 2].
    """
    return _native.linear(x, weight, bias, activation)


def pack(weight: mx.array, dtype: mx.Dtype, activation: str = "none") -> mx.array:
    """Rearranges a weight once for `packed_linear`, for activations of type `dtype`.

    The bytes depend on the instruction set of this process: never save them.
    """
    return _native.pack(weight, dtype, activation)


def packed_linear(
    x: mx.array,
    packed: mx.array,
    out_features: int,
    bias: mx.array | None = None,
    activation: str = "none",
) -> mx.array:
    """`linear` for inference, with a weight from `pack`; it has no gradient. out_features counts the rows of the weight."""
    return _native.packed_linear(x, packed, out_features, bias, activation)


def norm(
    x: mx.array, weight: mx.array, bias: mx.array | None = None, *, eps: float, rms: bool = False
) -> mx.array:
    """Layer norm of the last dimension, or RMS norm (no mean subtracted)."""
    return _native.norm(x, weight, bias, eps, rms)


def add_norm(
    x: mx.array,
    residual: mx.array,
    weight: mx.array,
    bias: mx.array | None = None,
    *,
    eps: float,
    rms: bool = False,
    dropout: float = 0.0,
    seed: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """Returns (y, h): h = residual + dropout(x) and y = norm(h). `seed` is an mx.random key."""
    return _native.add_norm(x, residual, weight, bias, eps, rms, dropout, seed)


def attention(
    qkv: mx.array,
    cu_seqlens: mx.array,
    num_heads: int,
    *,
    half_window: int = -1,
    cosines: mx.array | None = None,
    sines: mx.array | None = None,
    interleaved: bool = False,
    dropout: float = 0.0,
    seed: mx.array | None = None,
) -> mx.array:
    """Padding-free self-attention; memory is linear in the number of tokens, forward and backward.

    Args:
        qkv: [tokens, 3 * num_heads * head_size], queries, then keys, then values.
        cu_seqlens: int32 [sequences + 1], where each sequence starts, and the number of tokens at the end. Tokens behind
            that belong to no sequence and give zeros.
        num_heads: each has width / num_heads elements.
        half_window: a token sees those at most this far away, both ends included; negative = all.
        cosines: [positions, head_size / 2], rotary embeddings of the queries and keys; the position of a token counts from
            the start of its sequence.
        sines: like cosines.
        interleaved: rotary pairs are (2j, 2j + 1) instead of (j, j + head_size / 2).
        dropout: probability of dropping an attention weight.
        seed: an mx.random key, needed with dropout.
    """
    return _native.attention(
        qkv, cu_seqlens, num_heads, half_window, cosines, sines, interleaved, dropout, seed
    )


def activation(x: mx.array, name: str) -> mx.array:
    """gelu(x), or for geglu and swiglu act(first half) * second half of the last dimension."""
    return _native.activation(x, name)


def dropout(x: mx.array, probability: float, seed: mx.array) -> mx.array:
    """Zeroes elements with `probability` and scales the rest by 1 / (1 - probability). `seed` is an mx.random key."""
    return _native.dropout(x, probability, seed)


def fork(x: mx.array) -> tuple[mx.array, mx.array]:
    """The same array twice, for two uses: the sum of their gradients is then taken by all threads."""
    first, second = _native.fork(x)
    return first, second


def embedding(table: mx.array, ids: mx.array, dtype: mx.Dtype) -> mx.array:
    """Rows of `table` [rows, width] for integer `ids`, as `dtype`; the gradient sums in a fixed order."""
    return _native.embedding(table, ids, dtype)


def sequence_sum(x: mx.array, cu_seqlens: mx.array) -> mx.array:
    """The sum of x [tokens, width] over each sequence, float32 [sequences, width]; `cu_seqlens` as in `attention`.

    Tokens behind the last sequence belong to none.
    """
    return _native.sequence_sum(x, cu_seqlens)


def cross_entropy(logits: mx.array, labels: mx.array) -> mx.array:
    """The loss of each row, float32: logsumexp(logits) - logits[label], and 0 where the label is negative."""
    return _native.cross_entropy(logits, labels)


def adamw(
    parameters: Sequence[mx.array],
    gradients: Sequence[mx.array],
    m: Sequence[mx.array],
    v: Sequence[mx.array],
    learning_rate: mx.array,
    step: mx.array,
    gradient_scale: mx.array,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: Sequence[float],
) -> tuple[list[mx.array], list[mx.array], list[mx.array]]:
    """One AdamW step with bias correction; returns (parameters, m, v), in place when nothing else holds the old ones.

    The arrays of a call share one parallel region, but building the graph takes time that grows with their square: some
    ten of them are a good number. learning_rate, step (counting from 1) and gradient_scale (for clipping) are arrays of
    one value, so that one compiled graph serves all steps.
    """
    updated = _native.adamw(
        list(parameters),
        list(gradients),
        list(m),
        list(v),
        learning_rate,
        step,
        gradient_scale,
        beta1,
        beta2,
        eps,
        list(weight_decay),
    )
    n = len(parameters)
    return updated[:n], updated[n : 2 * n], updated[2 * n :]


def square_sum(*arrays: mx.array) -> mx.array:
    """The sum of the squares of all arrays, accumulated in float64 in a fixed order; it has no gradient."""
    return _native.square_sum(list(arrays))


def quantized_linear(
    x: mx.array,
    weight: mx.array,
    scales: mx.array,
    biases: mx.array,
    bias: mx.array | None = None,
    *,
    group_size: int,
    bits: int,
) -> mx.array:
    """`linear` on a weight in the affine layout of mx.quantize, 4 or 8 bits; gradients reach x and bias only."""
    return _native.quantized_linear(x, weight, scales, biases, bias, group_size, bits)


def pack_int8(weight: mx.array, activation: str = "none") -> mx.array:
    """Quantizes a weight to int8, one scale per row, and arranges it for `int8_linear`; never save the bytes."""
    return _native.pack_int8(weight, activation)


def int8_linear(
    x: mx.array,
    packed: mx.array,
    out_features: int,
    bias: mx.array | None = None,
    activation: str = "none",
) -> mx.array:
    """`linear` for inference in int8: x is quantized per token on the fly; it has no gradient."""
    return _native.int8_linear(x, packed, out_features, bias, activation)
