"""Losses against their closed forms in f64, and their gradients against finite differences."""

from collections.abc import Callable
from functools import partial

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_playground.models.heads.losses import (
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    huber,
    squared_error,
)
from tests.tolerances import FINITE_DIFFERENCE, LOSS

Loss = Callable[[mx.array, mx.array], mx.array]
numbers = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@given(
    logits=numbers, smoothing=st.sampled_from([0.0, 0.1]), gamma=st.sampled_from([0.0, 0.5, 2.0])
)
@settings(max_examples=60, deadline=None)
def test_binary_cross_entropy_is_its_closed_form(
    logits: list[float], smoothing: float, gamma: float
) -> None:
    z, y = np.array(logits), np.arange(len(logits)) % 2
    p, target = sigmoid(z), y * (1 - smoothing) + smoothing / 2
    of_one = -np.log(p) * (1 - p) ** gamma
    of_zero = -np.log(sigmoid(-z)) * p**gamma
    expected = target * of_one + (1 - target) * of_zero
    actual = binary_cross_entropy(
        mx.array(z), mx.array(y), label_smoothing=smoothing, focal_gamma=gamma
    )
    assert np.allclose(actual, expected, rtol=LOSS, atol=1e-7)


@given(
    seed=st.integers(0, 1000),
    smoothing=st.sampled_from([0.0, 0.2]),
    gamma=st.sampled_from([0.0, 1.0, 2.5]),
)
@settings(max_examples=40, deadline=None)
def test_cross_entropy_is_its_closed_form(seed: int, smoothing: float, gamma: float) -> None:
    random = np.random.default_rng(seed)
    logits, labels = random.normal(0, 3, (5, 4)), random.integers(0, 4, 5)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    losses = -np.log(p) * (1 - p) ** gamma
    expected = (1 - smoothing) * losses[np.arange(5), labels] + smoothing * losses.mean(axis=1)
    actual = cross_entropy(
        mx.array(logits), mx.array(labels), label_smoothing=smoothing, focal_gamma=gamma
    )
    assert np.allclose(actual, expected, rtol=10 * LOSS, atol=1e-6)


@given(predictions=numbers)
@settings(max_examples=30, deadline=None)
def test_regression_losses_are_their_closed_forms(predictions: list[float]) -> None:
    x = np.array(predictions, dtype=np.float32)
    e = np.abs(x.astype(np.float64) - 1.5)
    target = mx.full(x.shape, 1.5)
    assert np.allclose(squared_error(mx.array(x), target), e**2, rtol=LOSS, atol=1e-6)
    assert np.allclose(absolute_error(mx.array(x), target), e, rtol=LOSS, atol=1e-6)
    for delta in (0.5, 1.0, 3.0):
        expected = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))
        actual = huber(mx.array(x), target, delta=delta)
        assert np.allclose(actual, expected, rtol=LOSS, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (binary_cross_entropy, [0, 1, 1]),
        (partial(binary_cross_entropy, focal_gamma=2.0, label_smoothing=0.1), [0, 1, 1]),
        (squared_error, [0.3, -1.0, 2.0]),
        (absolute_error, [0.3, -1.0, 2.0]),
        (huber, [0.3, -1.0, 2.0]),
        (partial(cross_entropy, focal_gamma=2.0, label_smoothing=0.1), [0, 2, 1]),
    ],
)
def test_gradients_are_the_derivatives(loss: Loss, labels: list[float]) -> None:
    shape = (3, 3) if max(labels) == 2 and isinstance(labels[0], int) else (3,)
    x = mx.random.normal(shape, key=mx.random.key(1))
    direction = mx.random.normal(shape, key=mx.random.key(2))

    def total(x: mx.array) -> mx.array:
        return loss(x, mx.array(labels)).sum()

    step = 1e-2
    rise = float(total(x + step * direction) - total(x - step * direction))
    slope = float((mx.grad(total)(x) * direction).sum())
    assert slope == pytest.approx(rise / (2 * step), rel=FINITE_DIFFERENCE)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("size", [0.0, 50.0, 1e4])
def test_losses_and_gradients_of_certain_answers_are_finite(size: float, gamma: float) -> None:
    logits, labels = mx.array([size, -size]), mx.array([1, 1])
    for loss, x in (
        (binary_cross_entropy, logits),
        (cross_entropy, mx.stack([-logits, logits], axis=1)),
    ):
        focal = partial(loss, focal_gamma=gamma)
        assert bool(mx.isfinite(focal(x, labels)).all())
        assert bool(mx.isfinite(mx.grad(lambda x, f=focal: f(x, labels).sum())(x)).all())
