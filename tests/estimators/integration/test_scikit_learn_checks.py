"""scikit-learn's own checks of an estimator; each one that is expected to fail is named with its reason."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from bert_playground import BertClassifier, BertEmbedder, BertRegressor
from tests.estimators.tiny import TINY

NOT_IN_EVERY_DIGIT = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row that stands twice is in two batches, or on both sides of the split; one of weight 2 is not: equal in "
        "expectation, not in every digit, as with SGDClassifier"
    ),
}


@parametrize_with_checks(
    [BertClassifier(config=TINY, epochs=2)], expected_failed_checks=lambda _: NOT_IN_EVERY_DIGIT
)
@pytest.mark.medium
def test_classifier(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [BertRegressor(config=TINY, epochs=12, learning_rate=0.01, batch_size=16)],
    expected_failed_checks=lambda _: NOT_IN_EVERY_DIGIT,
)
def test_regressor(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([BertEmbedder(config=TINY, epochs=1)])
def test_embedder(estimator, check):
    check(estimator)
