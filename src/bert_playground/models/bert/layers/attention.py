"""Padding and window masks; SelfAttention with fused query, key and value projections."""

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.models.bert.layers.banded import (
    band_mask,
    blocks,
    blocks_with_neighbours,
    is_banded,
    join,
)
from bert_playground.models.bert.layers.embeddings import RotaryTable
from bert_playground.models.tokenwise import Initializer, Linear


def visible_keys(
    attention_mask: mx.array | None,
    num_tokens: int,
    half_window: int | None = None,
    *,
    whole: bool = False,
) -> mx.array | None:
    """Which keys each query of a padded batch may see.

    Every query may see at least one key, itself if need be: a row of the softmax without any key would be NaN on some
    devices, and NaN spreads from padding to real tokens.

    Args:
        attention_mask: [B, T], true on real tokens; None: all are real.
        num_tokens: T.
        half_window: keys at a greater distance are hidden; None: none are.
        whole: never in blocks, as attention probabilities are shown.

    Returns:
        Booleans [B or 1, 1, T or 1, T], or None when nothing is hidden; in a long row with a window the blocks of
        `band_mask`, whose five axes tell them apart.
    """
    if half_window is not None and not whole and is_banded(num_tokens, half_window):
        is_real = None if attention_mask is None else attention_mask.astype(mx.bool_)
        return band_mask(is_real, num_tokens, half_window)
    real = None
    if attention_mask is not None:
        real = attention_mask.astype(mx.bool_)
        real = real | ~mx.any(real, axis=-1, keepdims=True)
        real = real[:, None, None, :]
    if half_window is None or num_tokens - 1 <= half_window:
        return real
    position = mx.arange(num_tokens)
    distance = mx.abs(position[:, None] - position[None, :])[None, None]
    near = distance <= half_window
    return near if real is None else (near & real) | (distance == 0)


class SelfAttention(nn.Module):
    """Multi-head attention of a row with itself (Vaswani et al. 2017, arXiv 1706.03762).

    Args:
        hidden_size: H.
        num_heads: N, a divisor of H unless `head_size` is given.
        bias: in both projections.
        half_window: a token sees keys at distance <= half_window; None: the whole row.
        rotary: rotate queries and keys by their position; None: positions are in the input.
        dropout_rate: on the attention probabilities.
        head_size: D; None: H / N. Encoders that lost heads have fewer dimensions in all heads than in H.
        initialize: of the fused projection.
        initialize_output: of the output projection.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        bias: bool,
        half_window: int | None = None,
        rotary: RotaryTable | None = None,
        dropout_rate: float = 0.0,
        head_size: int | None = None,
        initialize: Initializer,
        initialize_output: Initializer,
    ) -> None:
        super().__init__()
        width = hidden_size if head_size is None else num_heads * head_size
        self.qkv = Linear(hidden_size, 3 * width, bias=bias, initialize=initialize)
        self.output = Linear(width, hidden_size, bias=bias, initialize=initialize_output)
        self.num_heads = num_heads
        self.half_window = half_window
        self.dropout_rate = dropout_rate
        self._rotary = rotary

    def __call__(
        self,
        x: mx.array,
        cu_seqlens: mx.array | None = None,
        mask: mx.array | None = None,
        probabilities: list[mx.array] | None = None,
    ) -> mx.array:
        """Attend within each row.

        Args:
            x: [N, H] with `cu_seqlens`, else [B, T, H].
            cu_seqlens: [B + 1], where packed rows start and end.
            mask: of a padded batch, from `visible_keys`.
            probabilities: a list that receives the attention probabilities [B, N, T, T]; padded batches only.

        Returns:
            Like x.
        """
        dropout_rate = self.dropout_rate if self.training else 0.0
        qkv = self.qkv(x)
        if cu_seqlens is not None:
            attended = kernels.packed_attention(
                qkv,
                cu_seqlens,
                self.num_heads,
                half_window=self.half_window,
                cosines=self._rotary.cosines if self._rotary else None,
                sines=self._rotary.sines if self._rotary else None,
                dropout_rate=dropout_rate,
            )
            return self.output(attended)
        return self.output(self._attend_padded(qkv, mask, dropout_rate, probabilities))

    def _attend_padded(
        self,
        qkv: mx.array,
        mask: mx.array | None,
        dropout_rate: float,
        probabilities: list[mx.array] | None,
    ) -> mx.array:
        batch_size, num_tokens, width = qkv.shape
        dtype = qkv.dtype
        if dtype == mx.float16:
            qkv = qkv.astype(mx.float32)  # products of two f16 numbers overflow
        parts = qkv.reshape(batch_size, num_tokens, 3, self.num_heads, -1)
        queries, keys, values = parts.transpose(2, 0, 3, 1, 4)  # each [B, N, T, D]
        if self._rotary is not None:
            queries, keys = (self._rotate(part) for part in (queries, keys))
        if mask is not None and mask.ndim == 5:
            size = mask.shape[-2]
            mask = mx.broadcast_to(mask, (batch_size, *mask.shape[1:]))
            attended = _attend(
                blocks(queries, size),
                blocks_with_neighbours(keys, size),
                blocks_with_neighbours(values, size),
                mask.reshape(-1, *mask.shape[2:]),
                dropout_rate,
            )
            attended = join(attended, batch_size, num_tokens)
        else:
            attended = _attend(queries, keys, values, mask, dropout_rate, probabilities)
        attended = attended.astype(dtype).transpose(0, 2, 1, 3)
        return attended.reshape(batch_size, num_tokens, width // 3)

    def _rotate(self, x: mx.array) -> mx.array:
        assert self._rotary is not None
        return mx.fast.rope(
            x,
            x.shape[-1],
            traditional=False,
            base=None,
            scale=1.0,
            offset=0,
            freqs=self._rotary.wavelengths,
        )


def _attend(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    mask: mx.array | None,
    dropout_rate: float,
    probabilities: list[mx.array] | None = None,
) -> mx.array:
    """softmax(q k^T / sqrt(D)) v of [B, N, T, D], fused where nothing has to be seen or dropped between."""
    if dropout_rate == 0 and probabilities is None:
        scale = queries.shape[-1] ** -0.5
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
    weights = attention_probabilities(queries, keys, mask)
    if probabilities is not None:
        probabilities.append(weights)
    return kernels.dropout(weights, dropout_rate).astype(values.dtype) @ values


def attention_probabilities(queries: mx.array, keys: mx.array, mask: mx.array | None) -> mx.array:
    """softmax(q k^T / sqrt(D)) in f32, [B, N, T, T], with hidden keys at 0."""
    scores = (queries @ keys.swapaxes(-1, -2)).astype(mx.float32) * queries.shape[-1] ** -0.5
    if mask is not None:
        scores = mx.where(mask, scores, mx.finfo(mx.float32).min)
    return mx.softmax(scores, axis=-1)
