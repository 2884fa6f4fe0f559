"""NumericFeatureEncoder: what the numeric features of a row add to its pooled vector."""

import mlx.core as mx
import mlx.nn as nn

from bert_playground.models.tokenwise import Linear, uniform
from bert_playground.tokens import Tokens

NUM_STEPS = 16


class NumericFeatureEncoder(nn.Module):
    """The pooled vector plus what a small network makes of the numbers of its row.

    A number from 0 to 1 enters as NUM_STEPS ramps, each of which rises from 0 to 1 over its own part of the way
    (piecewise linear encoding), and a missing one as a flag of its own. The last layer starts at zero, so training starts
    from the text alone.

    Args:
        num_numbers: F.
        hidden_size: H.

    Reference: Gorishniy et al. 2022, arXiv 2203.05556, section 3.2.
    """

    def __init__(self, num_numbers: int, hidden_size: int) -> None:
        super().__init__()
        num_inputs = num_numbers * (NUM_STEPS + 1)
        self.first = Linear(
            num_inputs, hidden_size, bias=True, initialize=uniform(num_inputs**-0.5)
        )
        self.last = Linear(hidden_size, hidden_size, bias=True, initialize=mx.zeros)

    def __call__(self, pooled: mx.array, numbers: mx.array) -> mx.array:
        """[B, H] and [B, F] to [B, H], all in f32."""
        return pooled + self.last(self.first(encode_steps(numbers), "gelu"))


def encode_steps(numbers: mx.array) -> mx.array:
    """NUM_STEPS ramps and a flag for each number: [B, F] to [B, F * (NUM_STEPS + 1)] in f32."""
    is_missing = mx.isnan(numbers)
    numbers = mx.where(is_missing, 0.0, numbers.astype(mx.float32))
    ramps = mx.clip(numbers[..., None] * NUM_STEPS - mx.arange(NUM_STEPS), 0.0, 1.0)  # [B, F, K]
    flags = is_missing.astype(mx.float32)[..., None]
    return mx.concatenate([ramps, flags], axis=-1).reshape(numbers.shape[0], -1)


def check_numeric_features(tokens: Tokens, num_numbers: int) -> None:
    """Refuse a batch with other numeric features than the head was made for.

    Raises:
        ValueError: says how many came and were expected.
    """
    came = None if tokens.numbers is None else tokens.numbers.shape
    if came != ((tokens.num_rows, num_numbers) if num_numbers else None):
        expected = f"shape {[tokens.num_rows, num_numbers]}" if num_numbers else "none"
        raise ValueError(
            f"numeric features: {'none' if came is None else f'shape {list(came)}'}, expected {expected}; the "
            f"head's num_numbers is {num_numbers}: take batches of the pipeline that was saved with the model"
        )
