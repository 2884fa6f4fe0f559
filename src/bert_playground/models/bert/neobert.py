"""NeoBertConfig, NeoBertCore: 28 layers, SwiGLU, RMSNorm.

- deep and narrow: 28 layers of the width of BERT-base, rows of up to 4096 tokens
- pre-norm with RMS norms, no biases; the embedding is not normed
- rotary positions in every layer, all layers see the whole row
- gated feed-forward: silu(first half) * second half

Le Breton et al. 2025, arXiv 2502.19587.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground.models.bert.config import (
    BIDIRECTIONAL,
    check_fixed,
    check_numeric_tokens,
    check_rope,
    check_sizes,
    check_token_ids,
    head_size_of,
    without_unused,
)
from bert_playground.models.bert.encoder import Encoder
from bert_playground.models.bert.layers.attention import SelfAttention, visible_keys
from bert_playground.models.bert.layers.embeddings import WordEmbeddings, rotary_table
from bert_playground.models.bert.layers.feedforward import GatedFeedForward
from bert_playground.models.bert.layers.fused_layer import LayerNorms, run_fused
from bert_playground.models.bert.names import Weights, rename, restore
from bert_playground.models.tokenwise import Norm, uniform
from bert_playground.tokens import Tokens

# Where the published code reads another architecture, with the only value that ours has.
FIXED = {**BIDIRECTIONAL, "hidden_act": "swiglu", "rms_norm": True, "rope": True, "ngpt": False}
# Our name of a field, and its name in the published config.json.
SPELLINGS = {
    "max_position_embeddings": "max_length",
    "initializer_range": "embedding_init_range",
}
PUBLISHED_THETA = 10_000.0
PUBLISHER = "chandar-lab/NeoBERT--model"


@dataclass(frozen=True)
class NeoBertConfig:
    """Sizes and rates; the defaults are those of the one published size.

    `intermediate_size` follows the published file, where it is not the width of the feed-forward: that is two thirds
    of it, rounded up to a multiple of 8. `feed_forward_size` is the width itself, for weights that do not keep to this
    rule; it wins. `initializer_range` is half the width of a uniform distribution. `dropout`, on attention
    probabilities and on both sublayers' outputs, was 0 in pretraining.
    """

    model_type = "neobert"
    # In the config.json of an encoder that the published code would read, and compute otherwise.
    own_model_type = "bert_playground_neobert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 28
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    feed_forward_size: int | None = None
    max_position_embeddings: int = 4096
    norm_eps: float = 1e-5
    rope_theta: float = PUBLISHED_THETA
    dropout: float = 0.0
    classifier_dropout: float = 0.1
    initializer_range: float = 0.02
    classifier_init_range: float = 0.02
    pad_token_id: int | None = 0
    numeric_tokens: tuple[tuple[int, int], ...] = ()
    num_ramps: int = 32
    head_dim: int | None = (
        None  # of an encoder that lost heads; None: hidden_size / num_attention_heads
    )

    def __post_init__(self) -> None:
        check_sizes(self, is_rotary=True)
        check_token_ids(self, ("pad_token_id",))
        check_numeric_tokens(self)
        size = self.feed_forward_size
        if size is None:
            size = gated_size(self.intermediate_size)
        elif gated_size(self.intermediate_size) != size:
            # So that the publisher's code, which knows the rule alone, finds the same width.
            object.__setattr__(self, "intermediate_size", -(-size * 3 // 2))
        object.__setattr__(self, "feed_forward_size", size)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a config.json in the published spelling or in that of the other encoders; unknown keys are ignored.

        Raises:
            ValueError: impossible sizes, or an ablation of the paper that is not implemented.
        """
        check_rope(values)
        check_fixed(values, FIXED, cls.model_type)
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in values.items() if key in known}
        for ours, published in SPELLINGS.items():
            if values.get(published) is not None:
                given[ours] = values[published]
        theta = (values.get("rope_parameters") or {}).get("rope_theta")
        return cls(**given if theta is None else given | {"rope_theta": theta})

    def to_dict(self) -> dict[str, Any]:
        """The same as a config.json that the publisher's code reads, fetched by transformers when it is trusted.

        That code knows one theta; of another, transformers shall not read the folder.
        """
        is_published = (
            self.rope_theta == PUBLISHED_THETA and not self.numeric_tokens and self.head_dim is None
        )
        stated = without_unused(asdict(self))
        values = {SPELLINGS.get(key, key): value for key, value in stated.items()}
        classes = {
            "AutoConfig": "NeoBERTConfig",
            "AutoModel": "NeoBERT",
            "AutoModelForMaskedLM": "NeoBERTLMHead",
            "AutoModelForSequenceClassification": "NeoBERTForSequenceClassification",
        }
        return {
            "model_type": self.model_type if is_published else self.own_model_type,
            **values,
            "dim_head": head_size_of(self),
            "decoder_init_range": self.initializer_range,
            "hidden_act": "SwiGLU",
            **(
                {"auto_map": {auto: f"{PUBLISHER}.{name}" for auto, name in classes.items()}}
                if is_published
                else {}
            ),
        }

    def head_options(self) -> dict[str, Any]:
        """What a head on this encoder is like when nothing else is asked: the published classifier."""
        return {
            "hidden_size": self.hidden_size,
            "pooling": "cls",
            "transform": "dropout_tanh",
            "hidden_dropout_prob": self.classifier_dropout,
            "dense_std": self.classifier_init_range,
            "classifier_std": self.classifier_init_range,
        }


def gated_size(intermediate_size: int) -> int:
    """The width of a gated feed-forward that has as many weights as a plain one of `intermediate_size`."""
    return -(-int(2 * intermediate_size / 3) // 8) * 8


class NeoBertLayer(nn.Module):
    """Norm, attention, sum, norm, feed-forward; the last sum waits for the next layer's norm.

    So each sum is computed together with the norm that follows it.
    """

    def __init__(self, config: NeoBertConfig) -> None:
        super().__init__()
        assert config.feed_forward_size is not None
        initialize = uniform(config.initializer_range)
        self.attention_norm = Norm(config.hidden_size, eps=config.norm_eps, bias=False, rms=True)
        self.attention = SelfAttention(
            config.hidden_size,
            config.num_attention_heads,
            bias=False,
            rotary=rotary_table(
                config.rope_theta,
                head_size_of(config),
                config.max_position_embeddings,
            ),
            dropout_rate=config.dropout,
            head_size=head_size_of(config),
            initialize=initialize,
            initialize_output=initialize,
        )
        self.feed_forward_norm = Norm(config.hidden_size, eps=config.norm_eps, bias=False, rms=True)
        self.feed_forward = GatedFeedForward(
            config.hidden_size,
            config.feed_forward_size,
            activation="silu",
            bias=False,
            initialize=initialize,
            initialize_output=initialize,
        )
        self.dropout_rate = config.dropout

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
            update: what the layer below adds to the stream, [B, T, H] or [N, H]; in layer 0 the embedding.
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
        dropout_rate = self.dropout_rate if self.training else 0.0
        if residual is None:
            normed, residual = self.attention_norm(update), update
        else:
            normed, residual = self.attention_norm.add(update, residual, dropout_rate)
        attended = self.attention(normed, cu_seqlens, mask, probabilities)
        normed, residual = self.feed_forward_norm.add(attended, residual, dropout_rate)
        return self.feed_forward(normed), residual


class NeoBertCore(Encoder):
    """NeoBERT without its decoder and classifier."""

    def __init__(self, config: NeoBertConfig) -> None:
        super().__init__(config)
        self.embeddings = WordEmbeddings(
            config.vocab_size, config.hidden_size, initialize=uniform(config.initializer_range)
        )
        self.layers = [NeoBertLayer(config) for _ in range(config.num_hidden_layers)]
        self.final_norm = Norm(config.hidden_size, eps=config.norm_eps, bias=False, rms=True)

    def encode(self, tokens: Tokens, probabilities: list[mx.array] | None = None) -> mx.array:
        """Hidden states [B, T, H] of padded tokens, [N, H] of packed ones; see Encoder.encode."""
        self.check_length(tokens)
        mask = None
        if not tokens.is_packed:
            mask = visible_keys(tokens.attention_mask, tokens.input_ids.shape[1])
        update, residual = self.embeddings(self.add_numbers(tokens), self.dtype), None
        for layer in self.layers:
            update, residual = self.run_layer(
                layer,
                update,
                residual,
                cu_seqlens=tokens.cu_seqlens,
                mask=mask,
                probabilities=probabilities,
            )
        assert residual is not None
        dropout_rate = self.config.dropout if self.training else 0.0
        hidden, _ = self.final_norm.add(update, residual, dropout_rate)
        return hidden

    NAMES: ClassVar = {
        "encoder": "embeddings.words",
        "transformer_encoder.#.attention_norm": "layers.#.attention_norm",
        "transformer_encoder.#.qkv": "layers.#.attention.qkv",
        "transformer_encoder.#.wo": "layers.#.attention.output",
        "transformer_encoder.#.ffn_norm": "layers.#.feed_forward_norm",
        "transformer_encoder.#.ffn.w12": "layers.#.feed_forward.up",
        "transformer_encoder.#.ffn.w3": "layers.#.feed_forward.down",
        "layer_norm": "final_norm",
    }

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array], config: NeoBertConfig) -> Weights:
        """Published names (without prefix) to ours, and the rows of qkv in our order; other names are kept."""
        order = mx.array(
            row_order(config.num_attention_heads * head_size_of(config), config.num_attention_heads)
        )
        return {
            name: weight[order] if ".attention.qkv." in name else weight
            for name, weight in rename(weights, cls.NAMES).items()
        }

    @classmethod
    def unsanitize(cls, weights: Mapping[str, mx.array], config: NeoBertConfig) -> Weights:
        """Undo `sanitize`: our names and order to the published ones."""
        order = mx.array(
            np.argsort(
                row_order(
                    config.num_attention_heads * head_size_of(config), config.num_attention_heads
                )
            )
        )
        ours = {
            name: weight[order] if ".attention.qkv." in name else weight
            for name, weight in weights.items()
        }
        return restore(ours, cls.NAMES)


def row_order(hidden_size: int, num_heads: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each row of our fused projection stands in a published one, [3H]; of lost heads H is what all others have.

    Published rows go head by head, each with its query, key and value, and rotary pairs are neighbours (2j, 2j + 1).
    Ours are all queries, all keys, all values, and pairs are (j, j + D / 2) as in ModernBERT: scores stay the same, and
    one attention serves all encoders.
    """
    rows = np.arange(3 * hidden_size).reshape(num_heads, 3, -1)
    rotated = rows[:, :2].reshape(num_heads, 2, -1, 2).swapaxes(2, 3).reshape(num_heads, 2, -1)
    ours = np.concatenate([rotated, rows[:, 2:]], axis=1)
    return ours.transpose(1, 0, 2).reshape(-1)
