"""ANSWERS: what a batch of tokens can be asked of an encoder; EncoderLeaf: a model and how its rows are laid out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np

from bert_playground import kernels
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.inference import Predictor
from bert_playground.memory import fit_cache_limit
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.tokens import Tokens

Array = np.ndarray[Any, Any]


def answer_scores(model: BertWithHead, tokens: Tokens) -> mx.array:
    """What the head predicts: see `Predictions.scores`."""
    return model.head.predict(model(tokens))


def answer_logits(model: BertWithHead, tokens: Tokens) -> mx.array:
    """The head's logits, [B] or [B, L]."""
    return model(tokens)


def answer_embedding(model: BertWithHead, tokens: Tokens) -> mx.array:
    """The vector of each row that the head pools, [B, H]."""
    return model.head.pool(model.encoder.encode(tokens), tokens)


def answer_hidden(model: BertWithHead, tokens: Tokens) -> mx.array:
    """The vector of each token, [N, H] packed or [B, T, H] padded."""
    return model.encoder.encode(tokens)


Answer = Callable[[BertWithHead, Tokens], mx.array]
ANSWERS: dict[str, Answer] = {
    "scores": answer_scores,
    "logits": answer_logits,
    "embedding": answer_embedding,
    "hidden": answer_hidden,
}


@dataclass(frozen=True, eq=False)
class EncoderLeaf:
    """An encoder with its head, as the thread that owns MLX computes it.

    Attributes:
        predictor: its model is in evaluation mode.
        activate: called before each batch, such as to swap adapters; None: nothing is to do.
    """

    predictor: Predictor
    activate: Callable[[], None] | None = field(default=None)

    @property
    def is_packed(self) -> bool:
        """Whether rows stand one after the other; else they are padded to the longest one."""
        return kernels.is_native()

    def compute(self, table: TokenizedTable, answer: str) -> Array:
        """One forward pass in f32; of "hidden" a line for each token, of all else a line for each row."""
        if self.activate is not None:
            self.activate()
        loader = MLXLoader(
            table,
            layout="packed" if self.is_packed else "padded",
            pad_token_id=self.predictor.pipeline.pad_token_id,
            prefetch_size=0,
        )
        tokens = loader.make_batch(np.arange(table.num_rows)).tokens
        values = ANSWERS[answer](self.predictor.model, tokens).astype(mx.float32)
        mx.eval(values)
        fit_cache_limit()
        found = np.array(values)
        if answer == "hidden" and not self.is_packed:
            return np.asarray(found[np.array(tokens.attention_mask)])
        return found
