"""The answer without a model, which a model has to beat: training frequencies, or the training mean."""

import numpy as np

from bert_playground.training.metrics.metric import Array


def baseline_scores(train_labels: Array, num_rows: int, num_classes: int | None) -> Array:
    """The same answer for each of `num_rows` rows, in the form of `head.predict`.

    Args:
        train_labels: [R], encoded labels of the training split.
        num_rows: N.
        num_classes: None for regression, then the answer is the training mean.

    Returns:
        [N], or [N, L] for more than two classes.
    """
    if num_classes is None:
        return np.full(num_rows, train_labels.mean(), dtype=np.float32)
    frequencies = np.bincount(train_labels.astype(np.int64), minlength=num_classes) / len(
        train_labels
    )
    if num_classes == 2:
        return np.full(num_rows, frequencies[1])
    return np.tile(frequencies, (num_rows, 1))
