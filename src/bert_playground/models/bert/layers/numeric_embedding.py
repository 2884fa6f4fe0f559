"""NumericEmbedding: what the value of a number adds to the embedding of its cell's token."""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground import kernels
from bert_playground.tokens import Tokens


class NumericEmbedding(nn.Module):
    """Piecewise linear encoding of a number, as a vector that is added to the embedding of its cell's token.

    A number from 0 to 1 (its quantile among the training rows) becomes K ramps, of which ramp k rises from 0 to 1 over
    the k-th part of the way; the vector is their weighted sum. Of all the ramps below a value's own each is 1, so the sum
    is a running one, looked up, and one multiple of the next weight: no row is multiplied by a matrix.

    The weights start at zero, so training starts from the token alone. A cell without a value, and a token that is
    masked, adds nothing.

    Args:
        token_ranges: for each of F numbers the ids [first, last + 1) of the tokens that its cells may be.
        num_ramps: K.
        vocab_size: V.
        hidden_size: H.

    Reference: Gorishniy et al. 2022, arXiv 2203.05556, section 3.2.
    """

    def __init__(
        self,
        token_ranges: Sequence[Sequence[int]],
        num_ramps: int,
        vocab_size: int,
        hidden_size: int,
    ) -> None:
        super().__init__()
        self.num_numbers = len(token_ranges)
        self.num_ramps = num_ramps
        self.weight = mx.zeros((self.num_numbers, num_ramps, hidden_size))
        number_of_token = np.full(vocab_size, self.num_numbers, np.int32)
        for number, (start, end) in enumerate(token_ranges):
            number_of_token[start:end] = number
        self._number_of_token = mx.array(number_of_token)

    def __call__(self, tokens: Tokens, dtype: mx.Dtype) -> mx.array:
        """The vectors of all tokens as `dtype`, [B, T, H] or [N, H]; 0 for tokens that are no number.

        Raises:
            ValueError: the batch has other numbers than the encoder was made for.
        """
        self.check(tokens)
        native = kernels.native_module()
        if native is not None and tokens.cu_seqlens is not None and kernels.serves(dtype):
            arrays = (tokens.input_ids, tokens.cu_seqlens, tokens.numbers)
            parts = (self.weight, self._number_of_token)
            vectors: mx.array | None = native.numeric_embedding(*arrays, *parts, dtype)
            if vectors is not None:  # as it is while gradients are asked for
                return vectors
        ramps, part = self.locate(tokens)
        zero = mx.zeros((1, self.weight.shape[-1]))
        below = mx.cumsum(self.weight, axis=1, inclusive=False)
        tables = [
            mx.concatenate([zero, table.reshape(-1, table.shape[-1])])
            for table in (below, self.weight)
        ]
        start, slope = (kernels.embedding(table, ramps, dtype) for table in tables)
        return start + part[..., None].astype(dtype) * slope

    def check(self, tokens: Tokens) -> None:
        """Refuse a batch that has other numbers than the encoder was made for."""
        came = None if tokens.numbers is None else tokens.numbers.shape
        if tokens.numbers is None or came != (tokens.num_rows, self.num_numbers):
            raise ValueError(
                f"numeric features: {'none' if came is None else f'shape {list(came)}'}, expected shape "
                f"{[tokens.num_rows, self.num_numbers]}: the encoder adds them to the tokens of its {self.num_numbers} "
                "numbers; take batches of the pipeline that was saved with the model"
            )

    def locate(self, tokens: Tokens) -> tuple[mx.array, mx.array]:
        """Where each token's value lies: 1 + its ramp among all F * K (0: no value), and how far up that is."""
        assert tokens.numbers is not None
        number = self._number_of_token[tokens.input_ids]
        row = tokens.row_index() if tokens.is_packed else mx.arange(tokens.num_rows)[:, None]
        value = tokens.numbers[row, mx.minimum(number, self.num_numbers - 1)].astype(mx.float32)
        has_value = (number < self.num_numbers) & ~mx.isnan(value)
        place = mx.clip(mx.where(has_value, value, 0.0), 0.0, 1.0) * self.num_ramps
        ramp = mx.minimum(mx.floor(place), self.num_ramps - 1)
        slot = number * self.num_ramps + ramp.astype(mx.int32) + 1
        return mx.where(has_value, slot, 0), mx.where(has_value, place - ramp, 0.0)
