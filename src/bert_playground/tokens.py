"""Tokens: padded or packed, the one notion of layout (docs/decisions/0014)."""

from typing import NamedTuple

import mlx.core as mx


class Tokens(NamedTuple):
    """Token ids of a batch of B rows in one of two layouts.

    Padded: `input_ids` is [B, T] and `attention_mask` is [B, T], true on real tokens (None: no padding at all).
    Packed: `input_ids` is [N], the rows one after the other, and row i is `cu_seqlens[i]:cu_seqlens[i + 1]`.

    Hidden states follow the ids: [B, T, H] or [N, H]. Every layer works on the last axis; only attention, rotary
    positions and pooling look at the layout.
    """

    input_ids: mx.array
    attention_mask: mx.array | None = None
    cu_seqlens: mx.array | None = None  # [B + 1] int32, packed layout only
    token_type_ids: mx.array | None = None  # like input_ids; None means all 0
    masked_positions: mx.array | None = (
        None  # [M] int32 in the flattened ids; their tokens are predicted
    )
    numbers: mx.array | None = None  # [B, F] f32 numeric features of each row, NaN where missing
    added: mx.array | None = None  # [..., H] vectors added to the embeddings of the words

    @property
    def is_packed(self) -> bool:
        """Whether rows are stored one after the other without padding."""
        return self.cu_seqlens is not None

    @property
    def num_rows(self) -> int:
        """The number of rows B."""
        if self.cu_seqlens is not None:
            return self.cu_seqlens.shape[0] - 1
        return self.input_ids.shape[0]

    def row_index(self) -> mx.array:
        """The row that each packed token belongs to, [N] int32."""
        assert self.cu_seqlens is not None
        starts = mx.zeros(self.input_ids.shape[0] + 1, dtype=mx.int32)
        return mx.cumsum(starts.at[self.cu_seqlens[1:]].add(1))[:-1]

    def positions(self) -> mx.array:
        """Each token's position counted from the start of its row: [N], or [1, T] when padded."""
        if self.cu_seqlens is None:
            return mx.arange(self.input_ids.shape[1])[None]
        return mx.arange(self.input_ids.shape[0]) - self.cu_seqlens[self.row_index()]
