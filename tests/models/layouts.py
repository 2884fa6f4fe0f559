"""The same rows padded and packed."""

import mlx.core as mx
import numpy as np

from bert_playground.tokens import Tokens


def as_packed(tokens: Tokens) -> Tokens:
    """The real tokens of padded rows one after the other."""
    mask = _mask(tokens)
    offsets = np.concatenate([[0], mask.sum(axis=1).cumsum()]).astype(np.int32)
    types = tokens.token_type_ids
    return Tokens(
        mx.array(np.array(tokens.input_ids)[mask]),
        None,
        mx.array(offsets),
        None if types is None else mx.array(np.array(types)[mask]),
    )


def real(hidden: mx.array, tokens: Tokens) -> mx.array:
    """Hidden states of the real tokens alone, [N, H]."""
    return hidden if tokens.is_packed else mx.array(np.array(hidden)[_mask(tokens)])


def _mask(tokens: Tokens) -> np.ndarray:
    if tokens.attention_mask is None:
        return np.ones(tokens.input_ids.shape, dtype=bool)
    return np.array(tokens.attention_mask).astype(bool)
