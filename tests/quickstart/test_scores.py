"""Scores on rows put aside, their errors, and what is said of the stack."""

import numpy as np
import polars as pl
import pytest

from bert_playground.quickstart.picture import draw_scores
from bert_playground.quickstart.scores import STACK, Score, decide, judge, summarise


def part(stack: float, other: float) -> dict[str, dict[str, float]]:
    return {
        STACK: {"accuracy": stack, "roc_auc": stack},
        "boosting": {"accuracy": other, "roc_auc": other},
        "linear": {"accuracy": 0.5, "roc_auc": 0.5},
    }


def test_all_models_are_judged_by_the_same_rows():
    judged = judge(
        pl.Series(["no", "yes", "yes", "no"]),
        {"good": np.array([0.1, 0.9, 0.6, 0.4]), "bad": np.array([0.9, 0.1, 0.6, 0.4])},
    )
    assert judged["good"] == {"accuracy": 1.0, "roc_auc": 1.0}
    assert judged["bad"] == {"accuracy": 0.5, "roc_auc": 0.25}


def test_the_error_is_the_standard_error_over_the_parts():
    scores, _ = summarise([part(0.7, 0.6), part(0.9, 0.6)])
    assert scores[0].name == STACK
    assert scores[0].accuracy == pytest.approx(0.8)
    assert scores[0].accuracy_error == pytest.approx(0.1)
    assert scores[1].roc_auc_error == 0


@pytest.mark.parametrize(
    ("stacks", "place"),
    [
        ((0.71, 0.81), "ahead of boosting"),
        ((0.69, 0.79), "behind boosting"),
        ((0.71, 0.79), "level with boosting"),
    ],
)
def test_the_verdict_says_plainly_where_the_stack_stands(stacks, place):
    judged = [part(stacks[0], 0.70), part(stacks[1], 0.80)]
    verdict = decide(judged)
    assert f"by accuracy it is {place}" in verdict
    assert f"by ROC-AUC it is {place}" in verdict


def test_the_picture_has_a_row_for_each_model(tmp_path):
    from PIL import Image

    heights = []
    for num_models in (2, 4):
        path = tmp_path / f"{num_models}.png"
        names = [STACK, "boosting", "linear", "encoder"][:num_models]
        draw_scores([Score(name, 0.7, 0.01, 0.8, 0.0) for name in names], path)
        with Image.open(path) as picture:
            heights.append(picture.height)
    assert heights[1] > heights[0]
