"""Pooling: one vector per row, the same from padded and packed hidden states."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.models.heads.pooling import POOLINGS, pool_attention
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.models.tiny import make_rows

HIDDEN = 6
QUERY = np.linspace(-2, 2, HIDDEN)


def pool(name: str, hidden: mx.array, tokens: Tokens) -> np.ndarray:
    if name == "attention":
        return np.array(pool_attention(hidden, tokens, mx.array(QUERY)))
    return np.array(POOLINGS[name](hidden, tokens))


def expected(name: str, row: np.ndarray) -> np.ndarray:
    if name == "cls":
        return row[0]
    if name == "mean":
        return row.mean(axis=0)
    if name == "max":
        return row.max(axis=0)
    weights = np.exp(row @ QUERY / HIDDEN**0.5)
    return (weights[:, None] * row).sum(axis=0) / weights.sum()


@pytest.mark.parametrize("name", [*POOLINGS, "attention"])
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 100))
def test_padded_and_packed_rows_pool_to_the_definition(
    name: str, lengths: list[int], seed: int
) -> None:
    tokens = make_rows(lengths, 7)
    values = np.random.default_rng(seed).normal(size=(len(lengths), 7, HIDDEN)).astype(np.float32)
    hidden = mx.array(values)
    wanted = np.stack([expected(name, values[i, :n]) for i, n in enumerate(lengths)])
    assert np.allclose(pool(name, hidden, tokens), wanted, atol=1e-5)
    packed = as_packed(tokens)
    assert np.allclose(pool(name, real(hidden, tokens), packed), wanted, atol=1e-5)


@pytest.mark.parametrize("name", [*POOLINGS, "attention"])
def test_without_a_mask_all_tokens_count(name: str) -> None:
    values = np.random.default_rng(0).normal(size=(2, 5, HIDDEN)).astype(np.float32)
    tokens = Tokens(mx.zeros((2, 5), dtype=mx.int32))
    wanted = np.stack([expected(name, row) for row in values])
    assert np.allclose(pool(name, mx.array(values), tokens), wanted, atol=1e-5)


@pytest.mark.parametrize("name", [*POOLINGS, "attention"])
def test_tokens_behind_the_last_packed_row_are_left_out(name: str) -> None:
    values = np.random.default_rng(0).normal(size=(9, HIDDEN)).astype(np.float32)
    tokens = Tokens(mx.zeros(9, dtype=mx.int32), None, mx.array([0, 4, 7], dtype=mx.int32))
    wanted = np.stack([expected(name, values[:4]), expected(name, values[4:7])])
    assert np.allclose(pool(name, mx.array(values), tokens), wanted, atol=1e-5)


@pytest.mark.parametrize("name", [*POOLINGS, "attention"])
@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_gradients_reach_real_tokens_only(name: str, layout: str) -> None:
    tokens = make_rows([4, 2], 5)
    hidden = mx.random.normal((2, 5, HIDDEN))
    if layout == "packed":
        hidden, tokens = real(hidden, tokens), as_packed(tokens)

    def total(hidden: mx.array) -> mx.array:
        pooled = (
            pool_attention(hidden, tokens, mx.array(QUERY))
            if name == "attention"
            else POOLINGS[name](hidden, tokens)
        )
        return pooled.sum()

    gradient = np.array(mx.grad(total)(hidden))
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any()
    if layout == "padded":
        assert (gradient[1, 2:] == 0).all()


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_attention_pooling_has_the_gradients_of_a_softmax(size: float, layout: str) -> None:
    # With a query of 0 all scores are the highest one: that is where training starts.
    tokens, lengths = make_rows([4, 1, 2], 5), [4, 1, 2]
    hidden = mx.random.normal((3, 5, HIDDEN), key=mx.random.key(0))
    rows = [np.array(hidden[i, :n]).astype(np.float64) for i, n in enumerate(lengths)]
    if layout == "packed":
        hidden, tokens = real(hidden, tokens), as_packed(tokens)
    query, cotangent = size * QUERY, np.random.default_rng(0).normal(size=(3, HIDDEN))

    def total(hidden: mx.array, query: mx.array) -> mx.array:
        return (pool_attention(hidden, tokens, query) * mx.array(cotangent)).sum()

    of_hidden, of_query = mx.grad(total, argnums=(0, 1))(hidden, mx.array(query))
    wanted_query, wanted_rows = np.zeros(HIDDEN), []
    for row, d in zip(rows, cotangent, strict=True):
        weights = np.exp(row @ query / HIDDEN**0.5)
        weights /= weights.sum()
        of_scores = weights * (row @ d - weights @ row @ d) / HIDDEN**0.5
        wanted_query += of_scores @ row
        wanted_rows.append(np.outer(weights, d) + np.outer(of_scores, query))
    assert np.allclose(of_query, wanted_query, atol=1e-5)
    assert np.abs(wanted_query).max() > 0.1
    ours = real(of_hidden, make_rows(lengths, 5)) if layout == "padded" else of_hidden
    assert np.allclose(ours, np.concatenate(wanted_rows), atol=1e-5)


def test_pooling_answers_in_f32_whatever_the_activations_are() -> None:
    tokens = make_rows([3, 2])
    hidden = mx.random.normal((2, 3, HIDDEN)).astype(mx.bfloat16)
    assert {POOLINGS[name](hidden, tokens).dtype for name in POOLINGS} == {mx.float32}
