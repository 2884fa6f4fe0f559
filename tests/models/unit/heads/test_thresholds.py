"""fit_thresholds against trying every threshold there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from bert_playground.models.heads.thresholds import fit_thresholds


def best_f1(labels: np.ndarray, scores: np.ndarray) -> float:
    values = np.unique(np.concatenate([scores, [0.5]]))
    return max(f1_score(labels, scores >= value, zero_division=0) for value in values)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 12), digits=st.sampled_from([1, 6]))
@pytest.mark.medium
def test_no_threshold_gives_a_better_f1(seed: int, rows: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, 2, (rows, 2)), random.random((rows, 2)).round(digits)
    for label, threshold in enumerate(fit_thresholds(labels, scores)):
        assert 0 <= threshold <= 1
        reached = f1_score(labels[:, label], scores[:, label] >= threshold, zero_division=0)
        assert reached == pytest.approx(best_f1(labels[:, label], scores[:, label]))


def test_equally_good_thresholds_are_decided_towards_the_half() -> None:
    labels = np.array([[1, 1, 1], [0, 0, 0]])
    scores = np.array([[0.9, 0.3, 0.9], [0.1, 0.1, 0.7]])
    assert fit_thresholds(labels, scores) == pytest.approx((0.5, 0.2, 0.8))


def test_a_label_that_no_row_has_keeps_the_half() -> None:
    assert fit_thresholds(np.zeros((3, 1), dtype=int), np.full((3, 1), 0.2)) == (0.5,)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[3\] and probabilities \[3, 1\]"):
        fit_thresholds(np.zeros(3), np.zeros((3, 1)))
