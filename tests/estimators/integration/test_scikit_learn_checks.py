"""scikit-learn's own checks of an estimator; each one that is expected to fail is named with its reason."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from bert_playground import BertClassifier, BertRegressor

TINY = {"model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2}}
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row that stands twice is in two batches, or on both sides of the split; one of weight 2 is not: equal in "
        "expectation, not in every digit, as with SGDClassifier"
    ),
}


@parametrize_with_checks(
    [
        BertClassifier(config=TINY, epochs=2),
        BertRegressor(config=TINY, epochs=3, learning_rate=0.01, batch_size=16),
    ],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learn(estimator, check):
    check(estimator)
