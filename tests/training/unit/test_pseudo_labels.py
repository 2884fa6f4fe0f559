"""A member that learned from pseudo-labels stays where it wins by more than the standard error."""

from types import SimpleNamespace

import numpy as np
import pytest

from bert_playground.training.cross_validation import conclude
from bert_playground.training.cross_validation.out_of_fold import OutOfFold


@pytest.mark.parametrize(("gains", "is_kept"), [([0.1, 0.11, 0.12], True), ([0.1, -0.1, 0.0], False), ([0.1, np.nan, 0.12], False)])  # fmt: skip
def test_pseudo_labels_have_to_win_on_every_fold_that_is_judged(
    gains: list[float], is_kept: bool
) -> None:
    numbers = np.arange(3).repeat(2)
    found = OutOfFold(None, {"encoder": None, "encoder+pseudo": None})
    vars(found)["rows"] = np.arange(6)  # cached properties
    vars(found)["means"] = {"encoder": np.zeros(6), "encoder+pseudo": np.array(gains).repeat(2)}
    folds = SimpleNamespace(truth=np.zeros(6), assignments=[numbers])
    judge = SimpleNamespace(name="accuracy", judge=lambda labels, scores: float(scores.mean()))
    members = [
        SimpleNamespace(name="encoder", teacher=None),
        SimpleNamespace(name="encoder+pseudo", teacher="encoder"),
    ]
    schedule = SimpleNamespace(members=members, skipped={})
    left = conclude._drop_losing_pseudo(found, folds, judge, schedule)
    assert ("encoder+pseudo" in left.answers) == is_kept
    assert ("encoder+pseudo" in schedule.skipped) != is_kept
