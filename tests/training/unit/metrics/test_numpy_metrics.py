"""Our own sums answer as scikit-learn does, bit for bit."""

import numpy as np
import pytest
from sklearn import metrics as sk

from bert_playground.training.metrics import numpy_metrics


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [2, 7, 24, 300, 5000])
def test_classes_are_judged_to_the_last_bit(rows: int, dtype: type) -> None:
    random = np.random.default_rng(rows)
    for digits in (1, 2, 17):  # many equal scores, some, none
        labels, scores = random.integers(0, 2, rows), random.random(rows).round(digits)
        labels[:2] = 0, 1
        scores = scores.astype(dtype)
        assert numpy_metrics.roc_auc_score(labels, scores) == sk.roc_auc_score(labels, scores)
        chosen = (scores >= 0.5).astype(np.int64)
        for one, other, average in (
            (labels, chosen, "binary"),
            (random.integers(0, 5, rows), random.integers(0, 5, rows), "macro"),
            (np.zeros(rows), np.zeros(rows), "binary"),  # 0 / 0
        ):
            assert numpy_metrics.accuracy_score(one, other) == sk.accuracy_score(one, other)
            expected = sk.f1_score(one, other, average=average, zero_division=0)
            assert numpy_metrics.f1_score(one, other, average=average) == expected


@pytest.mark.parametrize("shape", [(2,), (24,), (5000,), (24, 3), (5000, 2)])
@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float32, np.float64), (np.float64,) * 2])  # fmt: skip
def test_numbers_are_judged_to_the_last_bit(
    shape: tuple[int, ...], dtypes: tuple[type, type]
) -> None:
    random = np.random.default_rng(len(shape))
    labels = random.normal(100, 10, shape).astype(dtypes[0])
    scores = (labels + random.normal(0, 3, shape)).astype(dtypes[1])
    for name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
        ours, theirs = getattr(numpy_metrics, name), getattr(sk, name)
        assert ours(labels, scores) == theirs(labels, scores), name
        assert ours(labels, labels) == theirs(labels, labels), name


def test_an_output_that_does_not_vary_is_judged_alike() -> None:
    labels = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    for wrong in (0.0, 0.5):
        scores = labels + np.array([0.25, wrong])
        assert numpy_metrics.r2_score(labels, scores) == sk.r2_score(labels, scores)


@pytest.mark.parametrize("name", ["roc_auc_score", "mean_squared_error", "mean_absolute_error", "r2_score"])  # fmt: skip
def test_what_is_no_number_is_refused_as_there(name: str) -> None:
    for odd in (np.nan, np.inf):
        for judge in (getattr(numpy_metrics, name), getattr(sk, name)):
            with pytest.raises(ValueError, match=r"NaN|inf"):
                judge(np.array([0.0, 1.0, 1.0]), np.array([0.5, odd, 0.1]))
