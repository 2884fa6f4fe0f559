"""The constant baseline, which a model has to beat: training frequencies, or the training mean."""

import numpy as np

from bert_playground.training.metrics.metric import Array


def baseline_scores(
    train_labels: Array, num_rows: int, num_classes: int | None, *, task: str | None = None
) -> Array:
    """The same answer for each of `num_rows` rows, in the form of `head.predict`.

    Args:
        train_labels: [R] or [R, L], encoded labels of the training split.
        num_rows: N.
        num_classes: None for regression, then the answer is the training mean.
        task: "ordinal" has a probability for each class even if they are two.

    Returns:
        [N], or [N, L] for more than two classes, several labels or several steps.
    """
    if train_labels.ndim == 2:
        return np.tile(train_labels.mean(axis=0).astype(np.float32), (num_rows, 1))
    if num_classes is None:
        return np.full(num_rows, train_labels.mean(), dtype=np.float32)
    frequencies = np.bincount(train_labels.astype(np.int64), minlength=num_classes) / len(
        train_labels
    )
    if num_classes == 2 and task != "ordinal":
        return np.full(num_rows, frequencies[1])
    return np.tile(frequencies, (num_rows, 1))
