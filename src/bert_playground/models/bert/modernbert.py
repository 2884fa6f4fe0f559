"""ModernBertCore: RoPE, GeGLU, local and global attention, pre-norm.

- no learned positions and no token types: queries and keys are rotated, with one theta for global layers and
  another for local ones
- a third of the layers sees the whole row, the others a window of 128 tokens
- pre-norm without biases; layer 0 has no norm of its own, since the embedding is normed already
- gated feed-forward: gelu(first half) * second half

Warner et al. 2024, arXiv 2412.13663.
"""

from collections.abc import Mapping
from typing import ClassVar

import mlx.core as mx
import mlx.nn as nn

from bert_playground.models.bert.config import head_size_of
from bert_playground.models.bert.encoder import Encoder
from bert_playground.models.bert.layers.attention import SelfAttention, visible_keys
from bert_playground.models.bert.layers.embeddings import NormedEmbeddings, rotary_table
from bert_playground.models.bert.layers.feedforward import GatedFeedForward
from bert_playground.models.bert.layers.fused_layer import LayerNorms, run_fused
from bert_playground.models.bert.modernbert_config import ModernBertConfig
from bert_playground.models.bert.names import Weights, rename, restore
from bert_playground.models.tokenwise import Norm, truncated_normal
from bert_playground.tokens import Tokens


def make_norm(config: ModernBertConfig) -> Norm:
    """One of the encoder's norms."""
    return Norm(
        config.hidden_size,
        eps=config.norm_eps,
        bias=config.norm_bias,
        rms=config.norm_type == "rms",
    )


class ModernBertLayer(nn.Module):
    """Norm, attention, sum, norm, feed-forward; the last sum waits for the next layer's norm.

    So each sum is computed together with the norm that follows it.
    """

    def __init__(self, config: ModernBertConfig, index: int) -> None:
        super().__init__()
        cutoff = config.initializer_cutoff_factor
        initialize = truncated_normal(config.initializer_range, cutoff)
        output_std = config.initializer_range / (2 * config.num_hidden_layers) ** 0.5
        half_window = config.half_windows[index]
        self.attention_norm = make_norm(config) if index else None
        self.attention = SelfAttention(
            config.hidden_size,
            config.num_attention_heads,
            bias=config.attention_bias,
            half_window=half_window,
            rotary=rotary_table(
                config.theta(half_window),
                head_size_of(config),
                config.max_position_embeddings,
            ),
            dropout_rate=config.attention_dropout,
            head_size=head_size_of(config),
            initialize=initialize,
            initialize_output=truncated_normal(output_std, cutoff),
        )
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = GatedFeedForward(
            config.hidden_size,
            config.intermediate_size,
            activation=config.hidden_activation,
            bias=config.mlp_bias,
            dropout_rate=config.mlp_dropout,
            initialize=initialize,
            initialize_output=truncated_normal(output_std, cutoff),
        )
        self.dropout_rate = config.attention_dropout

    def __call__(
        self,
        update: mx.array,
        residual: mx.array | None,
        cu_seqlens: mx.array | None,
        mask: mx.array | None,
        probabilities: list[mx.array] | None = None,
    ) -> tuple[mx.array, mx.array]:
        """Go one layer up.

        Args:
            update: what the layer below adds to the stream, [B, T, H] or [N, H]; in layer 0 the normed embedding.
            residual: the stream without `update`; None in layer 0.
            cu_seqlens: where packed rows start and end.
            mask: which keys the queries of a padded batch may see.
            probabilities: a list that receives the attention probabilities.

        Returns:
            (update, residual) for the layer above.
        """
        norms = LayerNorms(self.attention_norm, self.feed_forward_norm, None)
        parts = (self.attention, self.feed_forward, norms)
        if fused := run_fused(*parts, update, cu_seqlens, residual):
            return fused[0], fused[1]
        if self.attention_norm is None or residual is None:
            normed = residual = update
        else:
            normed, residual = self.attention_norm.add(update, residual)
        attended = self.attention(normed, cu_seqlens, mask, probabilities)
        dropout_rate = self.dropout_rate if self.training else 0.0
        normed, residual = self.feed_forward_norm.add(attended, residual, dropout_rate)
        return self.feed_forward(normed), residual


class ModernBertCore(Encoder):
    """ModernBERT, at home on rows of up to 8192 tokens."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.embeddings = NormedEmbeddings(
            config.vocab_size,
            config.hidden_size,
            eps=config.norm_eps,
            bias=config.norm_bias,
            rms=config.norm_type == "rms",
            dropout_rate=config.embedding_dropout,
            initialize=truncated_normal(config.initializer_range, config.initializer_cutoff_factor),
        )
        self.layers = [ModernBertLayer(config, index) for index in range(config.num_hidden_layers)]
        self.final_norm = make_norm(config)

    def encode(self, tokens: Tokens, probabilities: list[mx.array] | None = None) -> mx.array:
        """Hidden states [B, T, H] of padded tokens, [N, H] of packed ones; see Encoder.encode."""
        self.check_length(tokens)
        masks: dict[int | None, mx.array | None] = dict.fromkeys(self.config.half_windows)
        if not tokens.is_packed:
            num_tokens = tokens.input_ids.shape[1]
            masks = {
                window: visible_keys(
                    tokens.attention_mask, num_tokens, window, whole=probabilities is not None
                )
                for window in masks
            }
        update, residual = self.embeddings(self.add_numbers(tokens), self.dtype), None
        for layer, window in zip(self.layers, self.config.half_windows, strict=True):
            update, residual = self.run_layer(
                layer,
                update,
                residual,
                cu_seqlens=tokens.cu_seqlens,
                mask=masks[window],
                probabilities=probabilities,
            )
        assert residual is not None
        hidden, _ = self.final_norm.add(update, residual)
        return hidden

    NAMES: ClassVar = {
        "embeddings.tok_embeddings": "embeddings.words",
        "layers.#.attn_norm": "layers.#.attention_norm",
        "layers.#.attn.Wqkv": "layers.#.attention.qkv",
        "layers.#.attn.Wo": "layers.#.attention.output",
        "layers.#.mlp_norm": "layers.#.feed_forward_norm",
        "layers.#.mlp.Wi": "layers.#.feed_forward.up",
        "layers.#.mlp.Wo": "layers.#.feed_forward.down",
    }

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array], config: ModernBertConfig) -> Weights:
        """Hugging Face names (without prefix) to ours; names we do not know are kept."""
        return rename(weights, cls.NAMES)

    @classmethod
    def unsanitize(cls, weights: Mapping[str, mx.array], config: ModernBertConfig) -> Weights:
        """Undo `sanitize`: our names to Hugging Face names."""
        return restore(weights, cls.NAMES)
