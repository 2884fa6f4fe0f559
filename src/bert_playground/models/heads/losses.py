"""Cross-entropy (smoothed, focal), squared, absolute and Huber loss: plain functions, one value per row."""

import mlx.core as mx


def binary_cross_entropy(
    logits: mx.array, labels: mx.array, *, label_smoothing: float = 0.0, focal_gamma: float = 0.0
) -> mx.array:
    """-log P(label), times P(other)^gamma when focal.

    With smoothing s the loss is (1 - s / 2) of the label's and s / 2 of the other's.

    Args:
        logits: [B], the log odds of class 1.
        labels: [B], 0 or 1.
        label_smoothing: s, 0 is off.
        focal_gamma: gamma, 0 is off.

    Reference: Lin et al. 2017, arXiv 1708.02002.
    """
    logits = logits.astype(mx.float32)
    target = labels.astype(mx.float32) * (1 - label_smoothing) + label_smoothing / 2
    return target * _binary_term(logits, focal_gamma) + (1 - target) * _binary_term(
        -logits, focal_gamma
    )


def _binary_term(logits: mx.array, gamma: float) -> mx.array:
    """-log sigmoid(logits) * (1 - sigmoid(logits))^gamma, through logarithms so that no gradient is infinite."""
    loss = mx.logaddexp(-logits, 0)
    return loss if gamma == 0 else loss * mx.exp(-gamma * mx.logaddexp(logits, 0))


def cross_entropy(
    logits: mx.array, labels: mx.array, *, label_smoothing: float = 0.0, focal_gamma: float = 0.0
) -> mx.array:
    """-log P(label), times (1 - P(label))^gamma when focal.

    With smoothing s the loss is 1 - s of the label's and s / L of each class's.

    Args:
        logits: [B, L].
        labels: [B], integers in 0..L-1.
        label_smoothing: s, 0 is off.
        focal_gamma: gamma, 0 is off.

    Reference: Szegedy et al. 2016, arXiv 1512.00567 (smoothing); Lin et al. 2017, arXiv 1708.02002 (focal).
    """
    logits = logits.astype(mx.float32)
    log_probabilities = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    losses = -log_probabilities
    if focal_gamma > 0:
        # The floor keeps the gradient of the power finite where a class is certain.
        losses = losses * mx.maximum(1 - mx.exp(log_probabilities), 1e-7) ** focal_gamma
    of_label = mx.take_along_axis(losses, labels.astype(mx.int32)[:, None], axis=-1)[:, 0]
    if label_smoothing == 0:
        return of_label
    return (1 - label_smoothing) * of_label + label_smoothing * losses.mean(axis=-1)


def squared_error(predictions: mx.array, targets: mx.array) -> mx.array:
    """(prediction - target)^2, [B]."""
    return mx.square(_difference(predictions, targets))


def absolute_error(predictions: mx.array, targets: mx.array) -> mx.array:
    """|prediction - target|, [B]."""
    return mx.abs(_difference(predictions, targets))


def huber(predictions: mx.array, targets: mx.array, *, delta: float = 1.0) -> mx.array:
    """e^2 / 2 for errors up to `delta`, then the straight line delta (|e| - delta / 2), [B].

    Reference: Huber 1964, Annals of Mathematical Statistics 35.
    """
    error = mx.abs(_difference(predictions, targets))
    small = mx.minimum(error, delta)
    return small * (error - small / 2)


def _difference(predictions: mx.array, targets: mx.array) -> mx.array:
    return predictions.astype(mx.float32) - targets.astype(mx.float32)
