"""The temperature: the minimum of the log loss, found from any start."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from bert_playground.training.evaluation.calibrate import (
    HIGHEST,
    LOWEST,
    Calibration,
    Quality,
    fit_temperature,
    probabilities,
)
from bert_playground.training.evaluation.reliability_plot import draw_reliability
from bert_playground.training.metrics.calibration_error import bin_confidence, calibration_error
from bert_playground.training.metrics.classification import log_loss


def draw(seed: int, rows: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), and logits that are `sharpness` times too sure."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 2, (rows, classes))
    chances = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    labels = (random.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    return labels, z * sharpness


@given(seed=st.integers(0, 1000), classes=st.integers(2, 5), sharpness=st.floats(0.2, 5))
def test_the_temperature_is_the_minimum_of_the_log_loss(
    seed: int, classes: int, sharpness: float
) -> None:
    labels, logits = draw(seed, 200, classes, sharpness)

    def loss(log_temperature: float) -> float:
        return log_loss(labels, probabilities(logits, float(np.exp(log_temperature))))

    found = minimize_scalar(loss, bounds=np.log([LOWEST, HIGHEST]), method="bounded")
    temperature = fit_temperature(labels, logits)
    assert loss(np.log(temperature)) <= found.fun + 1e-9
    assert np.log(temperature) == pytest.approx(found.x, abs=1e-2)


def test_a_model_that_is_three_times_too_sure_gets_the_temperature_three() -> None:
    labels, logits = draw(0, 40_000, 4, 3.0)
    assert fit_temperature(labels, logits) == pytest.approx(3.0, rel=0.03)
    before = calibration_error(labels, probabilities(logits, 1.0))
    after = calibration_error(labels, probabilities(logits, 3.0))
    assert after < 0.02 < before


def test_log_odds_are_two_classes() -> None:
    labels, logits = draw(1, 500, 2, 2.0)
    odds = logits[:, 1] - logits[:, 0]
    assert fit_temperature(labels, odds) == pytest.approx(fit_temperature(labels, logits))
    np.testing.assert_allclose(probabilities(odds, 1.7), probabilities(logits, 1.7)[:, 1])


def test_answers_that_are_all_right_or_all_wrong_end_at_the_bounds() -> None:
    labels = np.array([0, 1, 1])
    assert fit_temperature(labels, np.array([-2.0, 1.0, 3.0])) == LOWEST
    assert fit_temperature(1 - labels, np.array([-2.0, 1.0, 3.0])) == HIGHEST
    assert fit_temperature(labels, np.zeros(3)) == HIGHEST


def test_huge_logits_overflow_nowhere() -> None:
    labels, logits = draw(0, 100, 3, 1e4)
    assert LOWEST <= fit_temperature(labels, logits) <= HIGHEST


@pytest.mark.medium
def test_the_picture_is_a_png(tmp_path) -> None:
    labels, logits = draw(0, 300, 3, 3.0)
    qualities = [
        Quality(t, log_loss(labels, p), calibration_error(labels, p), bin_confidence(labels, p))
        for t, p in ((t, probabilities(logits, t)) for t in (1.0, 3.0))
    ]
    draw_reliability(Calibration(tmp_path, 300, "rows", 0.5, *qualities), tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
