"""Encoder: what every encoder can do: the padded call, attention weights, precision, checkpointing."""

from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.models.bert.layers.numeric_embedding import NumericEmbedding
from bert_playground.models.bert.packing import known_values, pack_rows
from bert_playground.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable


class Encoder(nn.Module):
    """Token ids in, one vector per token out.

    `dtype` is the type of all activations (parameters stay f32); `gradient_checkpointing` keeps only the input of
    each layer for the backward pass and computes the rest again.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.dtype = mx.float32
        self.gradient_checkpointing = False
        self.watch_layer: Callable[[mx.array], None] | None = None  # told the output of each layer
        if config.numeric_tokens:
            self.numbers = NumericEmbedding(
                config.numeric_tokens, config.num_ramps, config.vocab_size, config.hidden_size
            )

    @property
    def hidden_size(self) -> int:
        """H, the width of a token's vector."""
        return int(self.config.hidden_size)

    @property
    def max_length(self) -> int:
        """The most tokens that a row may have."""
        return int(self.config.max_position_embeddings)

    @property
    def num_numbers(self) -> int:
        """How many numbers of each row are added to the tokens of their cells; 0: none."""
        return len(self.config.numeric_tokens)

    def encode(self, tokens: Tokens, probabilities: list[mx.array] | None = None) -> mx.array:
        """Hidden states [B, T, H] of padded tokens, [N, H] of packed ones.

        Rows longer than `max_length` are refused when padded; packed rows are the loader's to truncate, since their
        lengths are not known before the arrays are evaluated.

        Args:
            tokens: ids in either layout.
            probabilities: a list that receives each layer's attention [B, N, T, T]; padded tokens only.
        """
        raise NotImplementedError

    def __call__(
        self,
        input_ids: mx.array,
        attention_mask: mx.array | None = None,
        token_type_ids: mx.array | None = None,
    ) -> mx.array:
        """Hidden states of padded rows.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 or true on real tokens; None: all are real.
            token_type_ids: [B, T]; None: all 0. Only classic BERT looks at them.

        Returns:
            [B, T, H]; what stands at padded positions means nothing.

        Raises:
            ValueError: shapes or types that do not fit, ids that are no entry of the vocabulary, or rows that are too
                long.
        """
        tokens = padded_tokens(input_ids, attention_mask, token_type_ids)
        self.check_length(tokens)
        self.check_ids(tokens)
        packed = pack_rows(tokens) if kernels.serves(self.dtype) else None
        if packed is None:
            return self.encode(tokens)
        packed_tokens, unpack = packed
        return unpack(self.encode(packed_tokens))

    def attention_weights(
        self,
        input_ids: mx.array,
        attention_mask: mx.array | None = None,
        token_type_ids: mx.array | None = None,
    ) -> list[mx.array]:
        """Who looks at whom: per layer the attention probabilities [B, N, T, T], before dropout."""
        probabilities: list[mx.array] = []
        self.encode(padded_tokens(input_ids, attention_mask, token_type_ids), probabilities)
        return probabilities

    def add_numbers(self, tokens: Tokens) -> Tokens:
        """The same tokens, with what the numbers of their rows add to their embeddings, beside what is added already.

        Raises:
            ValueError: the batch has other numbers than the encoder was made for.
        """
        if not self.num_numbers:
            return tokens
        added = self.numbers(tokens, self.dtype)
        return tokens._replace(added=added if tokens.added is None else added + tokens.added)

    def run_layer(
        self,
        layer: nn.Module,
        *streams: mx.array | None,
        cu_seqlens: mx.array | None,
        mask: mx.array | None,
        probabilities: list[mx.array] | None,
    ) -> Any:
        """Call a layer, through gradient checkpointing if it is on.

        Args:
            layer: called with all that follows.
            streams: what gradients flow through.
            cu_seqlens: where packed rows start and end.
            mask: which keys the queries of a padded batch may see.
            probabilities: a list that receives the attention probabilities.
        """
        if self.watch_layer is not None:
            outputs = layer(*streams, cu_seqlens, mask, probabilities)
            # What pre-norm layers return is a sum that waits for the next norm.
            self.watch_layer(outputs[0] + outputs[1] if isinstance(outputs, tuple) else outputs)
            return outputs
        if probabilities is not None or not (self.gradient_checkpointing and self.training):
            return layer(*streams, cu_seqlens, mask, probabilities)
        key = kernels.fresh_key()

        def forward(parameters: Any, *streams: mx.array | None) -> Any:
            layer.update(parameters)
            with kernels.keyed(key):  # the second run must drop what the first one dropped
                return layer(*streams, cu_seqlens, mask)

        return mx.checkpoint(forward)(layer.trainable_parameters(), *streams)

    def check_length(self, tokens: Tokens) -> None:
        """Refuse padded rows that have more tokens than the encoder has positions."""
        if not tokens.is_packed and tokens.input_ids.shape[1] > self.max_length:
            raise ValueError(
                f"rows have {tokens.input_ids.shape[1]} tokens, the encoder has {self.max_length} positions; "
                "truncate the rows (data.max_length)"
            )

    def check_ids(self, tokens: Tokens) -> None:
        """Refuse ids outside of the vocabulary, where they are known: reading there would give any number."""
        sizes = {
            "input_ids": self.config.vocab_size,
            "token_type_ids": getattr(self.config, "type_vocab_size", None),
        }
        for name, size in sizes.items():
            array = getattr(tokens, name)
            values = None if array is None or size is None else known_values(array)
            if values is None or values.size == 0:
                continue
            lowest, highest = int(values.min()), int(values.max())
            if lowest < 0 or highest >= size:
                raise ValueError(
                    f"{name} go from {lowest} to {highest}, but the encoder knows 0 to {size - 1}; "
                    "use the tokenizer that belongs to this encoder"
                )


def padded_tokens(
    input_ids: mx.array,
    attention_mask: mx.array | None = None,
    token_type_ids: mx.array | None = None,
) -> Tokens:
    """Make padded Tokens of arrays [B, T].

    Raises:
        ValueError: an array has another shape, or ids are no integers.
    """
    if input_ids.ndim != 2:
        raise ValueError(
            f"input_ids has shape {list(input_ids.shape)}, expected [B, T]; for one row pass input_ids[None]"
        )
    for name, array in (("attention_mask", attention_mask), ("token_type_ids", token_type_ids)):
        if array is not None and array.shape != input_ids.shape:
            raise ValueError(
                f"{name} has shape {list(array.shape)}, expected that of input_ids, {list(input_ids.shape)}"
            )
    for name, array in (("input_ids", input_ids), ("token_type_ids", token_type_ids)):
        if array is not None and not mx.issubdtype(array.dtype, mx.integer):
            kind = str(array.dtype).removeprefix("mlx.core.")
            raise ValueError(
                f"{name} has type {kind}, expected integers; pass {name}.astype(mx.int32)"
            )
    return Tokens(input_ids, attention_mask, None, token_type_ids)
