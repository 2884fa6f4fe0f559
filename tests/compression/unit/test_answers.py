"""to_logits: logits whose answers are those that were given."""

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.compression.answers import to_logits
from bert_playground.models.heads import HEADS, BaseHead, HeadConfig

CLASSES = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])
CASES = {
    "binary": np.array([0.2, 0.9]),
    "multiclass": CLASSES,
    "multilabel": np.array([[0.2, 0.9, 0.5], [0.1, 0.6, 0.8]]),
    "ordinal": CLASSES,
    "regression": np.array([0.3, -1.5]),
    "timeseries": np.array([[0.3, -1.5, 2.0], [1.0, 0.0, -1.0]]),
}


def make(head_type: str, **options: object) -> BaseHead:
    labels = None if head_type in ("binary", "regression") else 3
    return HEADS[head_type].from_config(
        HeadConfig(head_type=head_type, hidden_size=8, num_labels=labels, **options)
    )


@pytest.mark.parametrize("head_type", CASES)
def test_the_head_answers_what_the_teacher_answered(head_type: str) -> None:
    head = make(head_type)
    head.eval()
    logits = to_logits(head, CASES[head_type])
    np.testing.assert_allclose(
        np.array(head.predict(mx.array(logits))), CASES[head_type], atol=1e-5
    )


def test_steps_of_an_ordinal_head_without_link() -> None:
    head = make("ordinal", use_cumulative_link=False)
    logits = to_logits(head, CLASSES)
    np.testing.assert_allclose(np.array(head.predict(mx.array(logits))), CLASSES, atol=1e-5)


def test_sure_answers_stay_finite() -> None:
    assert np.abs(to_logits(make("binary"), np.array([0.0, 1.0]))).max() < 10


def test_uncertainty_is_refused() -> None:
    head = make("regression", uncertainty_estimation=True)
    with pytest.raises(ValueError, match="leave --teacher out"):
        to_logits(head, np.array([0.1]))
