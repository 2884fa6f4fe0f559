"""attention against f64: head sizes, windows, rotary layouts, sequence lengths from 0, memory linear in tokens."""

from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.native import reference
from tests.native.harness import (
    TOLERANCES,
    assert_close,
    both_types,
    draw,
    f64,
    needs_native,
    vjp,
)

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
HEADS = 3
LENGTHS = {
    "one token": [1],
    "pair": [2],
    "empty ones": [0, 7, 0, 0, 1, 25, 0],
    "many": [1, 33, 2, 16, 64, 14],
    "long": [130],
}


def offsets(lengths: list[int]) -> mx.array:
    return mx.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def make_tables(head_size: int, positions: int = 160) -> tuple[mx.array, mx.array]:
    angles = np.arange(positions)[:, None] * 100.0 ** -np.linspace(0, 1, head_size // 2)[None]
    return mx.array(np.cos(angles).astype(np.float32)), mx.array(np.sin(angles).astype(np.float32))


def check(
    lengths: list[int],
    head_size: int,
    dtype: mx.Dtype,
    half_window: int = -1,
    rotary: str = "none",
    behind: int = 0,
) -> None:
    qkv = draw(sum(lengths) + behind, 3 * HEADS * head_size, dtype=dtype)
    tables = make_tables(head_size) if rotary != "none" else None
    options = {"cosines": tables[0], "sines": tables[1]} if tables else {}
    interleaved = rotary == "interleaved"

    def function(qkv: mx.array) -> mx.array:
        return native.attention(
            qkv,
            offsets(lengths),
            HEADS,
            half_window=half_window,
            interleaved=interleaved,
            **options,
        )

    (out,), (dqkv,), (dout,) = vjp(function, [qkv])
    wide = (f64(tables[0]), f64(tables[1])) if tables else None
    wanted, backward = reference.attention(f64(qkv), lengths, HEADS, half_window, wide, interleaved)
    what = f"{lengths} head size {head_size} window {half_window} {rotary}"
    assert out.dtype == dqkv.dtype == dtype
    assert_close(out, wanted, TOLERANCES[dtype], what)
    assert_close(dqkv, backward(f64(dout)), TOLERANCES[dtype], f"{what} gradient")


@both_types
@pytest.mark.parametrize("head_size", [8, 20, 32, 64, 80, 128])
@pytest.mark.parametrize("rotary", ["none", "halves", "interleaved"])
def test_head_sizes_rotary_layouts_and_windows(
    rotary: str, head_size: int, dtype: mx.Dtype
) -> None:
    for half_window in (-1, 5):
        check(LENGTHS["many"], head_size, dtype, half_window, rotary)


@both_types
@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("head_size", [8, 32, 64])
def test_lengths_and_window_edges(head_size: int, name: str, dtype: mx.Dtype) -> None:
    for half_window, rotary in product(
        (-1, 0, 1, 15, 16, 31, 63, 64, 129, 1000), ("none", "halves")
    ):
        check(LENGTHS[name], head_size, dtype, half_window, rotary)


def test_the_window_includes_both_ends() -> None:
    # Queries and keys of 0 weigh all visible values alike, so the output counts them.
    length, half_window = 9, 2
    qkv = np.zeros((length, 3 * 8), dtype=np.float32)
    qkv[4, 16:] = 1.0
    out = native.attention(mx.array(qkv), offsets([length]), 1, half_window=half_window)
    wanted = [0, 0, 1 / 5, 1 / 5, 1 / 5, 1 / 5, 1 / 5, 0, 0]
    assert np.allclose(out[:, 0], wanted, atol=1e-6)


@both_types
def test_tokens_behind_the_last_sequence_give_zeros_and_get_none(dtype: mx.Dtype) -> None:
    check([7, 33], 32, dtype, rotary="halves", behind=5)
    qkv = draw(5, 3 * HEADS * 8, dtype=dtype)
    (out,), (dqkv,), _ = vjp(lambda x: native.attention(x, offsets([0]), HEADS), [qkv])
    assert not np.array(out.astype(mx.float32)).any()
    assert not np.array(dqkv.astype(mx.float32)).any()


@both_types
def test_no_sequences_and_no_tokens(dtype: mx.Dtype) -> None:
    qkv = mx.zeros((0, 3 * HEADS * 8), dtype=dtype)
    for starts in ([0], [0, 0, 0]):
        (out,), (dqkv,), _ = vjp(
            lambda x, starts=starts: native.attention(x, mx.array(starts, dtype=mx.int32), HEADS),
            [qkv],
        )
        assert out.shape == (0, HEADS * 8)
        assert dqkv.shape == qkv.shape


@both_types
def test_large_scores_do_not_overflow(dtype: mx.Dtype) -> None:
    qkv = draw(40, 3 * 16, dtype=dtype, scale=100.0)
    out = native.attention(qkv, offsets([40]), 1)
    wanted, _ = reference.attention(f64(qkv), [40], 1)
    # Scores of thousands: one unit in the last place of a score changes a probability by a ten-thousandth.
    assert_close(out, wanted, 1e-3 if dtype == mx.float32 else TOLERANCES[dtype])


@both_types
@pytest.mark.parametrize("scale", [3e4, 1e6, 1e8])
@pytest.mark.parametrize("half_window", [-1, 16])
def test_scores_whose_rounding_exceeds_every_exponent(
    half_window: int, scale: float, dtype: mx.Dtype
) -> None:
    lengths, width = [40, 56, 1], HEADS * 16
    scales = mx.concatenate([mx.full((2 * width,), scale), mx.ones((width,))])
    qkv = (draw(sum(lengths), 3 * width, dtype=mx.float32) * scales).astype(dtype)

    def function(qkv: mx.array) -> mx.array:
        return native.attention(qkv, offsets(lengths), HEADS, half_window=half_window)

    wanted, _ = reference.attention(f64(qkv), lengths, HEADS, half_window)
    assert_close(function(qkv), wanted, 1e-3 if dtype == mx.float32 else TOLERANCES[dtype])
    gradient = mx.grad(lambda qkv: function(qkv).astype(mx.float32).square().sum())(qkv)
    assert not mx.isnan(gradient.astype(mx.float32)).any().item()


@both_types
def test_a_nan_stays_within_its_sequence_and_head(dtype: mx.Dtype) -> None:
    lengths, size = [20, 17, 33], 32
    clean = np.array(draw(70, 3 * HEADS * size))
    for part, column in enumerate(("query", "key", "value")):
        qkv = clean.copy()
        qkv[25, part * HEADS * size + size + 3] = np.nan  # sequence 1, head 1
        out = np.array(
            native.attention(mx.array(qkv).astype(dtype), offsets(lengths), HEADS).astype(
                mx.float32
            )
        )
        whole = np.array(
            native.attention(mx.array(clean).astype(dtype), offsets(lengths), HEADS).astype(
                mx.float32
            )
        )
        touched = np.zeros(out.shape, dtype=bool)
        touched[20:37, size : 2 * size] = True
        assert np.array_equal(out[~touched], whole[~touched]), column
        poisoned = out[25, size : 2 * size] if column == "query" else out[20:37, size : 2 * size]
        expected = poisoned[:, 3] if column == "value" else poisoned
        assert np.isnan(expected).all(), column


@both_types
def test_dropout_has_one_mask_for_value_and_gradient(dtype: mx.Dtype) -> None:
    # Values that are one-hot per token show the probabilities themselves.
    length, rate, key = 32, 0.3, mx.random.key(7)
    qkv = np.concatenate([np.array(draw(length, 2 * length, scale=0.3)), np.eye(length)], axis=1)

    def function(qkv: mx.array) -> mx.array:
        return native.attention(qkv, offsets([length]), 1, dropout=rate, seed=key)

    x = mx.array(qkv.astype(np.float32)).astype(dtype)
    dropped = f64(function(x))
    plain = f64(native.attention(x, offsets([length]), 1))
    mask = np.where(dropped == 0, 0, 1 / (1 - rate))
    assert (mask == 0).mean() == pytest.approx(rate, abs=0.05)
    assert np.abs(dropped - plain * mask).max() < TOLERANCES[dtype]
    _, (dqkv,), (dout,) = vjp(function, [x])
    wanted = _gradient_with_mask(f64(x), plain, mask, f64(dout))
    assert_close(dqkv, wanted, 2 * TOLERANCES[dtype])


def _gradient_with_mask(
    qkv: np.ndarray, weights: np.ndarray, mask: np.ndarray, dout: np.ndarray
) -> np.ndarray:
    query, key, value = np.split(qkv, 3, axis=1)
    dweights = dout @ value.T * mask
    dscores = weights * (dweights - (dweights * weights).sum(axis=1, keepdims=True))
    scale = len(value) ** -0.5
    return np.concatenate(
        [dscores @ key * scale, dscores.T @ query * scale, (weights * mask).T @ dout], axis=1
    )


@pytest.mark.parametrize("half_window", [-1, 64])
def test_memory_is_linear_in_tokens(half_window: int) -> None:
    def peak(length: int) -> int:
        qkv = draw(length, 3 * 16)

        def loss(qkv: mx.array) -> mx.array:
            return native.attention(qkv, offsets([length]), 1, half_window=half_window).sum()

        mx.eval(qkv)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(mx.grad(loss)(qkv))
        return mx.get_peak_memory() - before

    assert peak(4096) < 4096 * 2**10  # one score per pair of tokens would be 64 MB
