"""BertCore: the 2018 encoder.

- learned positions and token types, summed with the words and normed
- post-norm: each sublayer's output is added to its input, then normed
- feed-forward with exact (erf) GELU; biases everywhere; layer norm with eps 1e-12
- every token sees its whole row

Devlin et al. 2018, arXiv 1810.04805.
"""

from collections.abc import Mapping
from typing import ClassVar

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.models.bert.config import BertConfig, head_size_of
from bert_playground.models.bert.encoder import Encoder
from bert_playground.models.bert.layers.attention import SelfAttention, visible_keys
from bert_playground.models.bert.layers.embeddings import BertEmbeddings
from bert_playground.models.bert.layers.feedforward import FeedForward
from bert_playground.models.bert.layers.fused_layer import LayerNorms, run_fused
from bert_playground.models.bert.names import Weights, rename, restore
from bert_playground.models.tokenwise import Norm, normal
from bert_playground.tokens import Tokens


class BertLayer(nn.Module):
    """Attention and feed-forward, each followed by residual sum and norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        initialize = normal(config.initializer_range)
        self.attention = SelfAttention(
            config.hidden_size,
            config.num_attention_heads,
            bias=True,
            dropout_rate=config.attention_probs_dropout_prob,
            head_size=head_size_of(config),
            initialize=initialize,
            initialize_output=initialize,
        )
        self.attention_norm = Norm(config.hidden_size, eps=config.layer_norm_eps, bias=True)
        self.feed_forward = FeedForward(
            config.hidden_size,
            config.intermediate_size,
            activation=config.hidden_act,
            bias=True,
            initialize=initialize,
        )
        self.feed_forward_norm = Norm(config.hidden_size, eps=config.layer_norm_eps, bias=True)
        self.dropout_rate = config.hidden_dropout_prob

    def __call__(
        self,
        hidden: mx.array,
        cu_seqlens: mx.array | None,
        mask: mx.array | None,
        probabilities: list[mx.array] | None = None,
    ) -> mx.array:
        """Map [B, T, H] or [N, H] to the same shape."""
        norms = LayerNorms(None, self.attention_norm, self.feed_forward_norm)
        if fused := run_fused(self.attention, self.feed_forward, norms, hidden, cu_seqlens):
            return fused[0]
        dropout_rate = self.dropout_rate if self.training else 0.0
        hidden, residual = kernels.fork(hidden)
        update = self.attention(hidden, cu_seqlens, mask, probabilities)
        hidden, _ = self.attention_norm.add(update, residual, dropout_rate)
        hidden, residual = kernels.fork(hidden)
        hidden, _ = self.feed_forward_norm.add(self.feed_forward(hidden), residual, dropout_rate)
        return hidden


class BertCore(Encoder):
    """Classic BERT without pooler: the pooler belongs to the head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(
            config.vocab_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.hidden_size,
            eps=config.layer_norm_eps,
            dropout_rate=config.hidden_dropout_prob,
            initialize=normal(config.initializer_range),
        )
        self.layers = [BertLayer(config) for _ in range(config.num_hidden_layers)]

    def encode(self, tokens: Tokens, probabilities: list[mx.array] | None = None) -> mx.array:
        """Hidden states [B, T, H] of padded tokens, [N, H] of packed ones; see Encoder.encode."""
        self.check_length(tokens)
        mask = None
        if not tokens.is_packed:
            mask = visible_keys(tokens.attention_mask, tokens.input_ids.shape[1])
        hidden = self.embeddings(self.add_numbers(tokens), self.dtype)
        for layer in self.layers:
            hidden = self.run_layer(
                layer,
                hidden,
                cu_seqlens=tokens.cu_seqlens,
                mask=mask,
                probabilities=probabilities,
            )
        return hidden

    NAMES: ClassVar = {
        "embeddings.word_embeddings": "embeddings.words",
        "embeddings.position_embeddings": "embeddings.positions",
        "embeddings.token_type_embeddings": "embeddings.token_types",
        "embeddings.LayerNorm": "embeddings.norm",
        "encoder.layer.#.attention.output.dense": "layers.#.attention.output",
        "encoder.layer.#.attention.output.LayerNorm": "layers.#.attention_norm",
        "encoder.layer.#.intermediate.dense": "layers.#.feed_forward.up",
        "encoder.layer.#.output.dense": "layers.#.feed_forward.down",
        "encoder.layer.#.output.LayerNorm": "layers.#.feed_forward_norm",
    }

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array], config: BertConfig) -> Weights:
        """Hugging Face names (without prefix) to ours; names we do not know are kept."""
        # The first checkpoints call a norm's weight gamma and its bias beta.
        weights = {
            name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
                "LayerNorm.beta", "LayerNorm.bias"
            ): weight
            for name, weight in weights.items()
        }
        renamed = rename(weights, cls.NAMES)
        # One product instead of three: rows of query, key and value on top of each other.
        for name in [name for name in renamed if ".attention.self.query." in name]:
            parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
            if all(part in renamed for part in parts):
                fused = mx.concatenate([renamed.pop(part) for part in parts])
                layer, leaf = name.split(".")[2], name.rpartition(".")[2]
                renamed[f"layers.{layer}.attention.qkv.{leaf}"] = fused
        return renamed

    @classmethod
    def unsanitize(cls, weights: Mapping[str, mx.array], config: BertConfig) -> Weights:
        """Undo `sanitize`: our names to Hugging Face names."""
        restored = restore(weights, cls.NAMES)
        for name in [name for name in restored if ".attention.qkv." in name]:
            layer, leaf = name.split(".")[1], name.rpartition(".")[2]
            parts = mx.split(restored.pop(name), 3)
            for part, weight in zip(("query", "key", "value"), parts, strict=True):
                restored[f"encoder.layer.{layer}.attention.self.{part}.{leaf}"] = weight
        return restored
