"""Disagreement and correlation of errors against their definitions."""

import numpy as np
import pytest

from bert_playground.ensemble_predictor import disagreement_rate, error_correlation


def test_disagreement_is_the_share_of_rows_on_which_two_members_differ() -> None:
    # 1 of 4 rows, 2 of 4 and 3 of 4.
    answers = [np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), np.array([1, 1, 0, 0])]
    assert disagreement_rate(answers) == pytest.approx((1 + 2 + 3) / 12)
    assert disagreement_rate(answers[:1] * 3) == 0


def test_rows_of_several_answers_count_each() -> None:
    assert disagreement_rate([np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, 1]])]) == 0.25


def test_the_correlation_is_the_mean_over_pairs() -> None:
    up, down = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    assert error_correlation([up, up * 2 + 5]) == pytest.approx(1)
    assert error_correlation([up, down, up]) == pytest.approx((-1 + 1 - 1) / 3)
    assert error_correlation([up, np.ones(3)]) is None
