"""Balanced weights: their definition, and what they are refused for."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from bert_playground.config.schema import HeadSection
from bert_playground.training.class_weights import balance_labels, weights_from_labels

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 0])
SEVERAL = np.array([[1, 0], [0, 0], [0, 1], [0, 0]])
NAMES = ("low", "mid", "high")


def choose(task: str, labels: np.ndarray = LABELS, names=NAMES, **section: object) -> dict:
    return weights_from_labels(HeadSection.model_validate(section), task, names, labels)


def test_balanced_class_weights_are_scikit_learns_and_one_on_average() -> None:
    weights = choose("multiclass", class_weights="balanced")["class_weights"]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(weights, expected)
    assert np.array(weights)[LABELS].mean() == pytest.approx(1)


def test_balanced_labels_make_both_sides_count_the_same() -> None:
    weights = balance_labels(SEVERAL, ("a", "b"))
    assert weights == (3.0, 3.0)
    options = choose("multilabel", SEVERAL, ("a", "b"), pos_weight="balanced")
    assert options["pos_weight"] == weights


def test_lists_are_taken_as_they_are() -> None:
    assert choose("multiclass", class_weights=[1, 2, 0.5])["class_weights"] == (1, 2, 0.5)
    assert choose("multilabel", SEVERAL, ("a", "b"), pos_weight=[1, 5])["pos_weight"] == (1, 5)


def test_cut_points_begin_at_the_training_shares() -> None:
    assert choose("ordinal")["class_priors"] == (5 / 8, 2 / 8, 1 / 8)
    weighted = choose("ordinal", class_weights="balanced")["class_priors"]
    assert weighted == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert "class_priors" not in choose("ordinal", type="multiclass")
    assert choose("multiclass", type="ordinal")["class_priors"] == (5 / 8, 2 / 8, 1 / 8)


@pytest.mark.parametrize(
    ("task", "section", "message"),
    [
        ("regression", {"class_weights": "balanced"}, "for classes, but the task is regression"),
        ("multilabel", {"class_weights": "balanced"}, "use head.pos_weight"),
        ("binary", {"pos_weight": [2.0, 1.0]}, "use head.class_weights"),
        (
            "multiclass",
            {"class_weights": [1.0, 2.0]},
            "has 2 numbers, but the target has 3: low, mid",
        ),
        ("multiclass", {"adaptive_threshold": True}, "for multilabel targets"),
        ("binary", {"uncertainty_estimation": True}, "for regression, but the task is binary"),
        (
            "multilabel",
            {"type": "binary"},
            "'binary' cannot answer a multilabel target; use multilabel",
        ),
        ("regression", {"type": "ordinal"}, "cannot answer a regression target"),
        ("ordinal", {"type": "regression"}, "use ordinal or multiclass"),
    ],
)
def test_weights_and_heads_that_do_not_fit_are_refused(task: str, section, message: str) -> None:
    labels = SEVERAL if task == "multilabel" else LABELS
    with pytest.raises(ValueError, match=message):
        choose(task, labels, NAMES, **section)


def test_a_class_without_rows_cannot_be_balanced() -> None:
    with pytest.raises(ValueError, match="no training row has high"):
        choose("multiclass", np.array([0, 1, 1]), class_weights="balanced")


def test_a_head_of_ones_own_fits_any_task() -> None:
    assert choose("multiclass", type="mine")["class_weights"] is None
