"""BertEmbeddings, NormedEmbeddings, WordEmbeddings: ids to vectors; RotaryTable: positions as angles."""

from functools import lru_cache
from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground import kernels
from bert_playground.models.tokenwise import Embedding, Initializer, Norm
from bert_playground.tokens import Tokens


def embed_words(words: Embedding, tokens: Tokens, dtype: mx.Dtype) -> mx.array:
    """The vectors of all tokens as `dtype`, with what is added to them: [B, T, H] or [N, H]."""
    x = words(tokens.input_ids, dtype)
    return x if tokens.added is None else x + tokens.added


class BertEmbeddings(nn.Module):
    """norm(word + token type + position), summed in this order, with learned positions."""

    def __init__(
        self,
        vocab_size: int,
        num_positions: int,
        num_token_types: int,
        hidden_size: int,
        *,
        eps: float,
        dropout_rate: float,
        initialize: Initializer,
    ) -> None:
        super().__init__()
        self.words = Embedding(vocab_size, hidden_size, initialize=initialize)
        self.positions = Embedding(num_positions, hidden_size, initialize=initialize)
        self.token_types = Embedding(num_token_types, hidden_size, initialize=initialize)
        self.norm = Norm(hidden_size, eps=eps, bias=True)
        self.dropout_rate = dropout_rate

    def __call__(self, tokens: Tokens, dtype: mx.Dtype) -> mx.array:
        """The vectors of all tokens as `dtype`, [B, T, H] or [N, H]."""
        fused = None if self.training else self._embed_fused(tokens, dtype)
        if fused is not None:
            return fused
        x = embed_words(self.words, tokens, dtype)
        if tokens.token_type_ids is None:
            x = x + self.token_types.weight[0].astype(dtype)
        else:
            x = x + self.token_types(tokens.token_type_ids, dtype)
        positions = self.positions(tokens.positions(), dtype)
        if tokens.is_packed:  # fused: MLX adds on one thread
            normed, _ = self.norm.add(positions, x)
        else:
            normed = self.norm(x + positions)
        return kernels.dropout(normed, self.dropout_rate if self.training else 0.0)

    def _embed_fused(self, tokens: Tokens, dtype: mx.Dtype) -> mx.array | None:
        """The same bit for bit, of packed tokens in one operation; None where that cannot be, such as for gradients."""
        native = kernels.native_module()
        tables = (self.words, self.token_types, self.positions)
        if native is None or tokens.cu_seqlens is None or not kernels.serves(dtype):
            return None
        if {type(table) for table in tables} != {Embedding}:
            return None
        if tokens.added is not None and tokens.added.dtype != dtype:
            return None
        vectors: mx.array | None = native.bert_embeddings(
            tokens.input_ids,
            tokens.cu_seqlens,
            [table.weight for table in tables],
            (self.norm.weight, self.norm.get("bias")),
            eps=self.norm.eps,
            dtype=dtype,
            type_ids=tokens.token_type_ids,
            added=tokens.added,
        )
        return vectors


class NormedEmbeddings(nn.Module):
    """norm(word): positions enter later, as rotations."""

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        eps: float,
        bias: bool,
        rms: bool,
        dropout_rate: float,
        initialize: Initializer,
    ) -> None:
        super().__init__()
        self.words = Embedding(vocab_size, hidden_size, initialize=initialize)
        self.norm = Norm(hidden_size, eps=eps, bias=bias, rms=rms)
        self.dropout_rate = dropout_rate

    def __call__(self, tokens: Tokens, dtype: mx.Dtype) -> mx.array:
        """The vectors of all tokens as `dtype`, [B, T, H] or [N, H]."""
        x = self.norm(embed_words(self.words, tokens, dtype))
        return kernels.dropout(x, self.dropout_rate if self.training else 0.0)


class WordEmbeddings(nn.Module):
    """The words alone, neither normed nor dropped."""

    def __init__(self, vocab_size: int, hidden_size: int, *, initialize: Initializer) -> None:
        super().__init__()
        self.words = Embedding(vocab_size, hidden_size, initialize=initialize)

    def __call__(self, tokens: Tokens, dtype: mx.Dtype) -> mx.array:
        """The vectors of all tokens as `dtype`, [B, T, H] or [N, H]."""
        return embed_words(self.words, tokens, dtype)


class RotaryTable(NamedTuple):
    """The angle by which each pair of dimensions turns at each position (Su et al. 2021, arXiv 2104.09864)."""

    cosines: mx.array  # [positions, D / 2] f32
    sines: mx.array
    wavelengths: mx.array  # [D / 2], what mx.fast.rope calls freqs


@lru_cache(maxsize=16)
def rotary_table(theta: float, head_size: int, num_positions: int) -> RotaryTable:
    """Make the table once; layers that share `theta` share it.

    The angles are f32 powers and f32 products, as torch computes them: at position 8000 another order of rounding
    already differs by 3e-4.
    """
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    wavelengths = np.power(np.float32(theta), exponents)
    frequencies = np.float32(1) / wavelengths
    angles = np.arange(num_positions, dtype=np.float32)[:, None] * frequencies
    return RotaryTable(mx.array(np.cos(angles)), mx.array(np.sin(angles)), mx.array(wavelengths))
