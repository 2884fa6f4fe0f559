"""Tiny models and rows, for tests that need no reference."""

from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.tokens import Tokens

SIZES: dict[str, dict[str, Any]] = {
    "bert": {},
    "modernbert": {"local_attention": 8},
    "neobert": {},
}
VOCAB_SIZE = 50


def make_encoder(name: str, **options: Any) -> Any:
    """A tiny encoder in evaluation mode, with weights large enough that attention is not flat."""
    family = ENCODERS[name]
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 32,
        "initializer_range": 0.3,
    }
    config = family.config(**(sizes | SIZES[name] | options))
    return family.core(config).eval()


def make_rows(lengths: list[int], width: int | None = None, padding: int = 0) -> Tokens:
    """Padded rows of the given lengths; the same lengths give the same ids whatever the width."""
    width = width or max(lengths)
    ids = np.full((len(lengths), width), padding)
    for row, length in enumerate(lengths):
        ids[row, :length] = np.random.default_rng(row).integers(3, VOCAB_SIZE, length)
    mask = np.arange(width)[None] < np.array(lengths)[:, None]
    return Tokens(mx.array(ids), mx.array(mask))


def largest_difference(a: mx.array, b: mx.array) -> float:
    """max |a - b|, relative to max |b|."""
    a, b = a.astype(mx.float32), b.astype(mx.float32)
    return float(mx.abs(a - b).max() / mx.abs(b).max())
