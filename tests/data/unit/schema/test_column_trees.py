"""Trees of many columns at once: those of scikit-learn, one by one."""

import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bert_playground.data.schema.column_trees import answer_held_out

ROWS = 150


@pytest.mark.parametrize("has_gaps", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3, None])
def test_answers_are_those_of_the_library(num_classes: int | None, has_gaps: bool) -> None:
    random = np.random.default_rng(7)
    values = random.normal(size=(4, ROWS))
    if has_gaps:
        values[random.random(values.shape) < 0.2] = np.nan
    labels = (
        values[0] + random.normal(size=ROWS)
        if num_classes is None
        else random.integers(0, num_classes, ROWS)
    )
    labels = np.nan_to_num(labels)
    truth = labels[:, None] if num_classes is None else np.eye(num_classes)[labels.astype(int)]
    splits = list(KFold(3, shuffle=True, random_state=1).split(labels))
    answers = answer_held_out(values, truth, splits, 3)
    make = DecisionTreeRegressor if num_classes is None else DecisionTreeClassifier
    is_equal = []
    for column, ours in zip(values, answers, strict=True):
        for train, held_out in splits:
            tree = make(max_depth=8, min_samples_leaf=3, random_state=0)
            tree.fit(column[train, None], labels[train])
            theirs = (
                tree.predict(column[held_out, None])[:, None]
                if num_classes is None
                else tree.predict_proba(column[held_out, None])
            )
            is_equal.append(np.isclose(theirs, ours[held_out], atol=1e-6).all(axis=1))
    # Where two cuts are equally good the library takes the one that its rounding makes better.
    assert np.concatenate(is_equal).mean() >= 0.9


def test_a_column_without_any_value_answers_the_mean() -> None:
    truth = np.eye(2)[[0, 1, 0, 1, 0, 1]]
    rows = np.arange(6)
    answers = answer_held_out(np.full((1, 6), np.nan), truth, [(rows, rows)], 1)
    np.testing.assert_allclose(answers, 0.5)
