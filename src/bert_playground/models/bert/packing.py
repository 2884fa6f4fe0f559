"""Padded rows through the packed kernels and back."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground.tokens import Tokens

Unpack = Callable[[mx.array], mx.array]


def known_values(array: mx.array) -> np.ndarray[Any, Any] | None:
    """The numbers of an array, or None inside a transformation such as mx.compile, where it has none yet."""
    try:
        return np.array(array)
    except (ValueError, RuntimeError):
        return None


def pack_rows(tokens: Tokens) -> tuple[Tokens, Unpack] | None:
    """The real tokens of padded rows one after the other, and the way back.

    Args:
        tokens: padded.

    Returns:
        Packed tokens, and a function from their hidden states [N, H] to [B, T, H] with zeros at padding; None where the
        mask is not known yet or is not of padding on the right: then positions would change.
    """
    num_rows, num_tokens = tokens.input_ids.shape
    lengths = np.full(num_rows, num_tokens)
    if tokens.attention_mask is not None:
        values = known_values(tokens.attention_mask)
        if values is None:
            return None
        lengths = values.astype(bool).sum(axis=1)
        if (values.astype(bool) != (np.arange(num_tokens) < lengths[:, None])).any():
            return None
    if lengths.sum() == 0:
        return None
    real = np.arange(num_tokens) < lengths[:, None]
    places = mx.array(np.flatnonzero(real).astype(np.int32))
    starts = mx.array(np.concatenate([[0], lengths.cumsum()]).astype(np.int32))
    is_full = bool(real.all())

    def pack(ids: mx.array | None) -> mx.array | None:
        if ids is None:
            return None
        return ids.reshape(-1) if is_full else ids.reshape(-1)[places]

    # Padding reads a row of zeros behind the last token.
    origins = mx.array(np.where(real, real.cumsum().reshape(real.shape) - 1, lengths.sum()))

    def unpack(hidden: mx.array) -> mx.array:
        if is_full:
            return hidden.reshape(num_rows, num_tokens, -1)
        zeros = mx.zeros((1, hidden.shape[1]), dtype=hidden.dtype)
        return mx.concatenate([hidden, zeros])[origins]

    ids = pack(tokens.input_ids)
    assert ids is not None
    return Tokens(ids, None, starts, pack(tokens.token_type_ids)), unpack
