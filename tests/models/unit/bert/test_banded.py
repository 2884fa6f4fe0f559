"""Local attention in blocks is the same attention, at a cost that grows with the row and not with its square."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.models.bert.layers.attention import SelfAttention, visible_keys
from bert_playground.models.bert.layers.banded import (
    band_mask,
    block_size,
    blocks,
    blocks_with_neighbours,
    is_banded,
    join,
)
from bert_playground.models.bert.layers.embeddings import rotary_table
from bert_playground.models.tokenwise import normal
from tests.models.tiny import largest_difference, make_encoder, make_rows
from tests.tolerances import GRADIENT, LAYOUT


def make_attention(half_window: int, dropout_rate: float = 0.0) -> SelfAttention:
    return SelfAttention(
        16,
        2,
        bias=False,
        half_window=half_window,
        rotary=rotary_table(1000.0, 8, 4096),
        dropout_rate=dropout_rate,
        initialize=normal(0.4),
        initialize_output=normal(0.4),
    ).eval()


@given(
    num_tokens=st.integers(97, 240),
    half_window=st.integers(0, 40),
    lengths=st.lists(st.integers(0, 240), min_size=1, max_size=3),
)
def test_blocks_give_what_the_whole_mask_gives(
    num_tokens: int, half_window: int, lengths: list[int]
) -> None:
    mask = mx.arange(num_tokens)[None] < mx.array(lengths)[:, None]
    x = mx.random.normal((len(lengths), num_tokens, 16))
    attention = make_attention(half_window)
    banded = attention(x, None, visible_keys(mask, num_tokens, half_window))
    whole = attention(x, None, visible_keys(mask, num_tokens, half_window, whole=True))
    assert bool(mx.isfinite(banded).all())
    shown = mask[..., None]
    if any(lengths):
        assert largest_difference(banded * shown, whole * shown) < LAYOUT


@pytest.mark.parametrize("num_tokens", [97, 128, 131])
def test_gradients_through_blocks_are_those_of_the_whole_mask(num_tokens: int) -> None:
    attention, x = make_attention(20), mx.random.normal((2, num_tokens, 16))
    mask = mx.arange(num_tokens)[None] < mx.array([[num_tokens], [50]])

    def total(x: mx.array, whole: bool) -> mx.array:
        seen = visible_keys(mask, num_tokens, 20, whole=whole)
        return (mx.sin(attention(x, None, seen)) * mask[..., None]).sum()

    assert is_banded(num_tokens, 20)
    expected = mx.grad(total)(x, True)
    assert largest_difference(mx.grad(total)(x, False), expected) < GRADIENT


def test_every_query_sees_the_real_keys_in_its_window_and_itself() -> None:
    num_tokens, half_window, length = 150, 33, 120
    real = mx.arange(num_tokens)[None] < length
    mask = np.array(band_mask(real, num_tokens, half_window))
    size = block_size(half_window)
    assert mask.shape == (1, 5, 1, size, 3 * size)
    for query in range(num_tokens):
        shown = np.flatnonzero(mask[0, query // size, 0, query % size])
        keys = set(shown + (query // size - 1) * size)
        near = range(max(0, query - half_window), min(length, query + half_window + 1))
        assert keys == set(near) | {query}


def test_cutting_into_blocks_and_joining_changes_nothing() -> None:
    x = mx.random.normal((2, 3, 70, 4))
    cut = blocks(x, 32)
    assert cut.shape == (6, 3, 32, 4)
    assert mx.array_equal(join(cut, 2, 70), x)
    wide = blocks_with_neighbours(x, 32)
    assert mx.array_equal(wide[:, :, 32:64], cut)
    assert mx.array_equal(wide[1, :, :32], cut[0])
    assert not wide[0, :, :32].any()


def test_dropout_acts_on_the_probabilities_of_blocks() -> None:
    attention, x = make_attention(10, dropout_rate=0.5).train(), mx.random.normal((1, 128, 16))
    mask = visible_keys(None, 128, 10)
    mx.random.seed(1)
    first = attention(x, None, mask)
    mx.random.seed(2)
    assert largest_difference(attention(x, None, mask), first) > 0.1


def peak_of_attention(num_tokens: int, *, whole: bool) -> int:
    attention, x = make_attention(16), mx.random.normal((1, num_tokens, 16))
    mx.eval(attention.parameters(), x)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mask = visible_keys(None, num_tokens, 16, whole=whole)
    mx.eval(attention._attend_padded(attention.qkv(x), mask, 0.0, None))
    return mx.get_peak_memory() - before


def test_memory_grows_with_the_row_and_not_with_its_square() -> None:
    short, long = (peak_of_attention(length, whole=False) for length in (512, 2048))
    # Four times the tokens; what is freed a moment late counts too, and a square would be sixteen times.
    assert long < 8 * short
    assert peak_of_attention(2048, whole=True) > 5 * long


def test_attention_weights_of_long_rows_are_whole() -> None:
    encoder = make_encoder("modernbert", max_position_embeddings=256)
    tokens = make_rows([130, 60])
    weights = encoder.attention_weights(tokens.input_ids, tokens.attention_mask)
    distance = np.abs(np.arange(130)[:, None] - np.arange(130)[None])
    for layer, half_window in zip(weights, encoder.config.half_windows, strict=True):
        values = np.array(layer)
        assert values.shape == (2, 4, 130, 130)
        assert np.allclose(values.sum(axis=-1), 1, atol=1e-5)
        assert (values[1, :, :60, 60:] == 0).all()
        if half_window is not None:
            assert (values[0][:, distance > half_window] == 0).all()
    probabilities: list[mx.array] = []
    looked = encoder.encode(tokens, probabilities)
    shown = tokens.attention_mask[..., None]
    assert largest_difference(looked * shown, encoder.encode(tokens) * shown) < LAYOUT
