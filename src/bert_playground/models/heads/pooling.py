"""cls, mean, max, attention: one vector per row, out of padded or packed hidden states."""

from collections.abc import Callable

import mlx.core as mx

from bert_playground import kernels
from bert_playground.tokens import Tokens

# Below every activation, and finite in f32: a row without tokens must not become NaN.
LOWEST = -1e30


def pool_cls(hidden: mx.array, tokens: Tokens) -> mx.array:
    """The first token of each row: [B, T, H] or [N, H] to [B, H] in f32."""
    first = hidden[:, 0] if tokens.cu_seqlens is None else hidden[tokens.cu_seqlens[:-1]]
    return first.astype(mx.float32)


def pool_mean(hidden: mx.array, tokens: Tokens) -> mx.array:
    """The mean of each row's real tokens: [B, T, H] or [N, H] to [B, H] in f32."""
    return sum_rows(hidden, tokens) / mx.maximum(count_rows(tokens), 1)


def pool_max(hidden: mx.array, tokens: Tokens) -> mx.array:
    """The greatest value of each dimension over a row's real tokens: [B, T, H] or [N, H] to [B, H] in f32."""
    return max_rows(hidden, tokens)


POOLINGS: dict[str, Callable[[mx.array, Tokens], mx.array]] = {
    "cls": pool_cls,
    "mean": pool_mean,
    "max": pool_max,
}


def pool_attention(hidden: mx.array, tokens: Tokens, query: mx.array) -> mx.array:
    """The mean of each row's real tokens, weighted by softmax(hidden . query / sqrt(H)).

    Args:
        hidden: [B, T, H] or [N, H].
        tokens: the layout.
        query: [H], learned.

    Returns:
        [B, H] in f32.
    """
    hidden = hidden.astype(mx.float32)
    scores = (hidden @ query[:, None]) * hidden.shape[-1] ** -0.5  # [..., 1]
    highest = mx.stop_gradient(max_rows(scores, tokens))  # [B, 1]
    below = scores - spread_rows(highest, tokens)
    # Only padding can be above 0, and must not overflow; mx.minimum would also stop the gradient at 0, of the highest.
    weights = mx.exp(mx.where(below > 0, 0.0, below))
    total = sum_rows(weights * hidden, tokens)
    return total / mx.maximum(sum_rows(weights, tokens), 1e-30)


def sum_rows(values: mx.array, tokens: Tokens) -> mx.array:
    """The sum over each row's real tokens: [B, T, C] or [N, C] to [B, C] in f32."""
    if tokens.cu_seqlens is not None:
        return kernels.sequence_sum(values, tokens.cu_seqlens)
    values = values.astype(mx.float32)
    if tokens.attention_mask is not None:
        values = mx.where(_real(tokens), values, 0.0)
    return values.sum(axis=1)


def count_rows(tokens: Tokens) -> mx.array:
    """The number of real tokens of each row, [B, 1] in f32; [1, 1] when all rows are full."""
    if tokens.cu_seqlens is not None:
        counts = tokens.cu_seqlens[1:] - tokens.cu_seqlens[:-1]
    elif tokens.attention_mask is not None:
        counts = tokens.attention_mask.astype(mx.float32).sum(axis=1)
    else:
        counts = mx.array([tokens.input_ids.shape[1]])
    return counts.astype(mx.float32)[:, None]


def max_rows(values: mx.array, tokens: Tokens) -> mx.array:
    """The maximum over each row's real tokens: [B, T, C] or [N, C] to [B, C] in f32."""
    values = values.astype(mx.float32)
    if tokens.cu_seqlens is not None:
        # One row more than B takes what stands behind the last row.
        rows = mx.full((tokens.num_rows + 1, values.shape[-1]), LOWEST)
        return rows.at[tokens.row_index()].maximum(values)[:-1]
    if tokens.attention_mask is not None:
        values = mx.where(_real(tokens), values, LOWEST)
    return values.max(axis=1)


def spread_rows(values: mx.array, tokens: Tokens) -> mx.array:
    """Give each token the value of its row: [B, C] to [B, 1, C] or [N, C]."""
    if tokens.cu_seqlens is None:
        return values[:, None]
    return mx.concatenate([values, mx.zeros((1, values.shape[-1]))])[tokens.row_index()]


def _real(tokens: Tokens) -> mx.array:
    assert tokens.attention_mask is not None
    return tokens.attention_mask.astype(mx.bool_)[..., None]
