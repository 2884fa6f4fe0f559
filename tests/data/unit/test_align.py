"""align_scores: answers of models of other rows, in the classes and units of the whole table."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.targets.align import align_scores
from bert_playground.data.targets.label_encoder import LabelEncoder


def test_a_class_that_the_model_has_not_seen_has_probability_zero() -> None:
    whole = LabelEncoder.fit(pl.Series("y", ["a", "b", "c", "d"]), "multiclass")
    part = LabelEncoder.fit(pl.Series("y", ["a", "b", "d"]), "multiclass")
    placed = align_scores(np.array([[0.2, 0.3, 0.5]]), part, whole)
    assert placed.tolist() == [[0.2, 0.3, 0.0, 0.5]]


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 10.0], [-3.0, 0.0, 2.0, 2.5]])
def test_numbers_mean_the_same_in_units(values: list[float]) -> None:
    whole = LabelEncoder.fit(pl.Series("y", map(str, values)), "regression")
    part = LabelEncoder.fit(pl.Series("y", map(str, values[:3])), "regression")
    scores = np.array([-0.5, 0.0, 1.5])
    aligned = align_scores(scores, part, whole)
    assert whole.in_units(aligned) == pytest.approx(part.in_units(scores))


def test_a_deviation_beside_a_mean_is_left_out() -> None:
    encoder = LabelEncoder.fit(pl.Series("y", ["1", "2", "4"]), "regression")
    assert align_scores(np.array([[0.5, 0.1]]), encoder, encoder).tolist() == [0.5]


def test_models_of_other_questions_are_refused() -> None:
    numbers = LabelEncoder.fit(pl.Series("y", ["1", "2", "4"]), "regression")
    classes = LabelEncoder.fit(pl.Series("y", ["a", "b", "c"]), "multiclass")
    with pytest.raises(ValueError, match="different tables"):
        align_scores(np.array([0.5]), numbers, classes)
