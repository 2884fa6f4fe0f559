"""Losses against their closed forms in f64, and their gradients against finite differences."""

from collections.abc import Callable
from functools import partial

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.models.heads.losses import (
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    cumulative_log_probabilities,
    gaussian_likelihood,
    huber,
    pick,
    squared_error,
    stepwise_log_probabilities,
)
from tests.tolerances import FINITE_DIFFERENCE, LOSS

Loss = Callable[[mx.array, mx.array], mx.array]
numbers = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@given(
    logits=numbers, smoothing=st.sampled_from([0.0, 0.1]), gamma=st.sampled_from([0.0, 0.5, 2.0])
)
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


@given(seed=st.integers(0, 1000), gamma=st.sampled_from([0.0, 2.0]))
def test_the_weight_of_present_labels_is_its_closed_form(seed: int, gamma: float) -> None:
    random = np.random.default_rng(seed)
    z, y, weight = random.normal(0, 3, (4, 3)), random.integers(0, 2, (4, 3)), random.random(3) * 5
    p = sigmoid(z)
    expected = -weight * y * (1 - p) ** gamma * np.log(p) - (1 - y) * p**gamma * np.log(1 - p)
    actual = binary_cross_entropy(
        mx.array(z), mx.array(y), focal_gamma=gamma, pos_weight=mx.array(weight)
    )
    assert np.allclose(actual, expected, rtol=10 * LOSS, atol=1e-6)


@given(seed=st.integers(0, 1000))
def test_the_gaussian_likelihood_is_its_closed_form(seed: int) -> None:
    random = np.random.default_rng(seed)
    means, targets, deviations = (
        random.normal(0, 3, 5),
        random.normal(0, 3, 5),
        random.random(5) + 0.1,
    )
    density = np.exp(-(((targets - means) / deviations) ** 2) / 2) / (
        deviations * np.sqrt(2 * np.pi)
    )
    actual = gaussian_likelihood(mx.array(means), mx.array(deviations), mx.array(targets))
    assert np.allclose(np.exp(-np.array(actual, dtype=np.float64)), density, rtol=1e-4)


@given(seed=st.integers(0, 1000), classes=st.integers(2, 7), size=st.sampled_from([0.1, 1.0, 8.0]))
def test_cumulative_probabilities_are_differences_of_sigmoids(
    seed: int, classes: int, size: float
) -> None:
    random = np.random.default_rng(seed)
    logits = -np.sort(-random.normal(0, size, (4, classes - 1)), axis=1)
    above = np.concatenate([np.ones((4, 1)), sigmoid(logits)], axis=1)
    below = np.concatenate([sigmoid(logits), np.zeros((4, 1))], axis=1)
    actual = np.exp(np.array(cumulative_log_probabilities(mx.array(logits)), dtype=np.float64))
    assert np.allclose(actual, above - below, atol=1e-5)
    assert (actual >= 0).all()
    assert np.allclose(actual.sum(axis=1), 1, atol=1e-5)


@given(seed=st.integers(0, 1000), classes=st.integers(2, 7))
def test_stepwise_probabilities_are_products_of_chances(seed: int, classes: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (4, classes - 1))
    up = sigmoid(logits)
    expected = np.stack(
        [up[:, :k].prod(axis=1) * (1 - up[:, k] if k < classes - 1 else 1) for k in range(classes)],
        axis=1,
    )
    actual = np.exp(np.array(stepwise_log_probabilities(mx.array(logits)), dtype=np.float64))
    assert np.allclose(actual, expected, rtol=1e-4, atol=1e-7)
    assert np.allclose(actual.sum(axis=1), 1, atol=1e-5)


def falling(x: mx.array) -> mx.array:
    """Any numbers as logits that fall along the classes."""
    return -mx.cumsum(mx.logaddexp(x, 0) + 0.1, axis=-1)


def test_two_ordered_classes_are_a_binary_question() -> None:
    z, y = mx.array([[-2.0], [0.5], [3.0]]), mx.array([0, 1, 0])
    expected = binary_cross_entropy(z[:, 0], y)
    for probabilities in (cumulative_log_probabilities, stepwise_log_probabilities):
        assert np.allclose(pick(probabilities(z), y), expected, rtol=LOSS)


@pytest.mark.parametrize(
    "probabilities", [cumulative_log_probabilities, stepwise_log_probabilities]
)
@pytest.mark.parametrize("size", [0.0, 50.0, 1e4])
def test_ordinal_losses_of_certain_answers_are_finite(probabilities: Loss, size: float) -> None:
    logits = mx.array([[size, size - 1, -size - 2]] * 4)

    def total(x: mx.array) -> mx.array:
        return pick(probabilities(x), mx.arange(4)).sum()

    assert np.isfinite(float(total(logits)))
    assert bool(mx.isfinite(mx.grad(total)(logits)).all())


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (lambda x, y: pick(cumulative_log_probabilities(falling(x)), y), [0, 2, 3]),
        (lambda x, y: pick(stepwise_log_probabilities(x), y), [0, 2, 3]),
        (lambda x, y: gaussian_likelihood(x[:, 0], mx.exp(x[:, 1]), y), [0, 1, 2]),
        (
            partial(binary_cross_entropy, pos_weight=mx.array([1.0, 3.0, 0.2]), focal_gamma=1.5),
            [[0, 1, 1], [1, 0, 1], [0, 0, 1]],
        ),
        (binary_cross_entropy, [0, 1, 1]),
        (partial(binary_cross_entropy, focal_gamma=2.0, label_smoothing=0.1), [0, 1, 1]),
        (squared_error, [0.3, -1.0, 2.0]),
        (absolute_error, [0.3, -1.0, 2.0]),
        (huber, [0.3, -1.0, 2.0]),
        (partial(cross_entropy, focal_gamma=2.0, label_smoothing=0.1), [0, 2, 1]),
    ],
)
def test_gradients_are_the_derivatives(loss: Loss, labels: list[float]) -> None:
    shape = (3,) if labels in ([0, 1, 1], [0.3, -1.0, 2.0]) else (3, 3)
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
