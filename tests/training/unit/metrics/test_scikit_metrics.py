"""Metrics that are written out have the bits of scikit-learn's, and none of them imports it."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from bert_playground.training.metrics import make_scorer
from bert_playground.training.metrics import scikit_metrics as ours
from bert_playground.training.metrics.scorer import REPORTED

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 700)
AVERAGES = pytest.mark.parametrize("average", ["macro", "micro"])


@given(SEEDS, SIZES, st.integers(1, 6))
def test_accuracy_and_f1_of_classes(seed: int, num_rows: int, num_classes: int) -> None:
    labels, chosen = np.random.default_rng(seed).integers(0, num_classes, (2, num_rows))
    assert ours.accuracy_score(labels, chosen) == sk.accuracy_score(labels, chosen)
    for average in ("macro", "micro") if num_classes > 2 else ("binary", "macro", "micro"):
        options = {"average": average, "zero_division": 0}
        assert ours.f1_score(labels, chosen, **options) == sk.f1_score(labels, chosen, **options)


@AVERAGES
@given(SEEDS, SIZES, st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_f1_of_several_labels(
    average: str, seed: int, num_rows: int, num_labels: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    labels, present = (random.random((2, num_rows, num_labels)) < share).astype(np.int64)
    options = {"average": average, "zero_division": 0}
    assert ours.f1_score(labels, present, **options) == sk.f1_score(labels, present, **options)


@given(SEEDS, st.integers(2, 700), st.sampled_from([1, 4, 1000, 10**7]), st.booleans())
def test_roc_auc(seed: int, num_rows: int, num_values: int, is_f32: bool) -> None:
    random = np.random.default_rng(seed)
    labels = np.append(random.integers(0, 2, num_rows - 2), [0, 1])
    scores = random.integers(0, num_values, num_rows) / num_values
    scores = scores.astype(np.float32) if is_f32 else scores
    expected = sk.roc_auc_score(labels, scores)
    assert ours.roc_auc_score(labels, scores) == expected
    assert ours.roc_auc_score(labels == 1, scores) == expected


@given(SEEDS, st.integers(2, 700), st.integers(2, 7))
def test_quadratic_kappa(seed: int, num_rows: int, num_classes: int) -> None:
    labels, chosen = np.random.default_rng(seed).integers(0, num_classes, (2, num_rows))
    labels[:2] = (0, 1)
    expected = sk.cohen_kappa_score(
        labels, chosen, labels=np.arange(num_classes), weights="quadratic"
    )
    assert ours.quadratic_kappa(labels, chosen, num_classes) == expected


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "r2_score"])
@given(
    SEEDS,
    st.integers(2, 700),
    st.sampled_from([(), (1,), (3,)]),
    st.sampled_from(["f4", "f8", "i8"]),
    st.sampled_from(["f4", "f8"]),
    st.sampled_from(["apart", "equal", "constant"]),
)
def test_errors_of_numbers(
    name: str, seed: int, num_rows: int, steps: tuple[int, ...], of: str, by: str, case: str
) -> None:
    random = np.random.default_rng(seed)
    labels = (random.standard_normal((num_rows, *steps)) * 1000).astype(of)
    labels = np.ones_like(labels) if case == "constant" else labels
    scores = random.standard_normal((num_rows, *steps)) * 1000
    scores = (labels if case == "equal" else scores).astype(by)
    assert getattr(ours, name)(labels, scores) == getattr(sk, name)(labels, scores)


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "r2_score"])
def test_numbers_that_are_not_finite_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not finite"):
        getattr(ours, name)(np.ones(3), np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="not finite"):
        ours.roc_auc_score(np.array([0, 1, 1]), np.array([1.0, np.nan, 2.0]))


def test_no_rows_are_refused() -> None:
    for compute in (ours.accuracy_score, ours.f1_score, ours.mean_squared_error):
        with pytest.raises(ValueError, match="no rows"):
            compute(np.array([]), np.array([]))


@pytest.mark.parametrize("task", REPORTED)
def test_what_every_evaluation_reports_needs_no_scikit_learn(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # its import fails
    random = np.random.default_rng(0)
    labels, scores = {
        "binary": (np.arange(20) % 2, random.random(20)),
        "multilabel": (random.integers(0, 2, (20, 3)), random.random((20, 3))),
        "multiclass": (np.arange(20) % 3, random.dirichlet(np.ones(3), 20)),
        "ordinal": (np.arange(20) % 3, random.dirichlet(np.ones(3), 20)),
    }.get(task, (random.random(20), random.random(20)))
    assert set(make_scorer(task)(labels, scores)) == set(REPORTED[task])


def test_the_others_are_those_of_scikit_learn() -> None:
    assert ours.matthews_corrcoef is sk.matthews_corrcoef
