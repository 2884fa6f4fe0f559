"""The range test on curves whose steepest place is known."""

import math

import numpy as np
import pytest

from bert_playground.training.find_learning_rate import (
    HIGHEST,
    LOWEST,
    NUM_STEPS,
    rising_rates,
    smooth,
    suggest_rate,
)


def test_rates_rise_by_the_same_factor() -> None:
    rates = rising_rates()
    assert (len(rates), rates[0], rates[-1]) == (NUM_STEPS, pytest.approx(LOWEST), pytest.approx(HIGHEST))  # fmt: skip
    np.testing.assert_allclose(np.diff(np.log(rates)), math.log(HIGHEST / LOWEST) / (NUM_STEPS - 1))


def test_the_moving_average_of_a_constant_is_the_constant() -> None:
    np.testing.assert_allclose(smooth([3.0] * 5), 3.0)


def test_the_moving_average_weighs_by_age() -> None:
    first, second = smooth([1.0, 4.0])
    assert first == pytest.approx(1.0)
    assert second == pytest.approx((0.9 * 1.0 + 4.0) / 1.9)


@pytest.mark.parametrize("steepest", [1e-5, 1e-3, 1e-2])
def test_the_suggestion_is_where_the_loss_falls_fastest(steepest: float) -> None:
    # A logistic fall around `steepest`, and a blow-up three powers of ten later.
    rates = np.array(rising_rates())
    fall = 1 / (1 + (rates / steepest) ** 2)
    found = suggest_rate(rates, 1 + fall + (rates / (1e3 * steepest)) ** 2)
    assert found == pytest.approx(steepest, rel=0.15)


def test_a_loss_that_only_rises_suggests_nothing() -> None:
    rates = rising_rates()
    assert suggest_rate(rates, list(np.linspace(1, 2, len(rates)))) is None


def test_a_curve_of_a_few_steps_suggests_nothing() -> None:
    assert suggest_rate([1e-5, 1e-4, 1e-3], [3.0, 2.0, 1.0]) is None
    assert suggest_rate([], []) is None
