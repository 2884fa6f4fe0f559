"""Cross-entropy (smoothed, focal), regression, Gaussian and ordinal losses: plain functions, one value per row."""

import math

import mlx.core as mx

# Stands for an infinite logit: its sigmoid is exactly 1, and no gradient becomes NaN.
CERTAIN = 1e9
# Neighbouring cut-points this close give a class no room; rounding must not bring them closer.
SMALLEST_GAP = 1e-6


def binary_cross_entropy(
    logits: mx.array,
    labels: mx.array,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    pos_weight: mx.array | None = None,
) -> mx.array:
    """-log P(label), times P(other)^gamma when focal.

    With smoothing s the loss is (1 - s / 2) of the label's and s / 2 of the other's.

    Args:
        logits: [B] or [B, L], the log odds of class 1.
        labels: of the same shape, 0 or 1.
        label_smoothing: s, 0 is off.
        focal_gamma: gamma, 0 is off.
        pos_weight: [L], multiplies the part of label 1; None: 1.

    Reference: Lin et al. 2017, arXiv 1708.02002.
    """
    logits = logits.astype(mx.float32)
    target = labels.astype(mx.float32) * (1 - label_smoothing) + label_smoothing / 2
    present = target * _binary_term(logits, focal_gamma)
    if pos_weight is not None:
        present = present * pos_weight
    return present + (1 - target) * _binary_term(-logits, focal_gamma)


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


def gaussian_likelihood(means: mx.array, deviations: mx.array, targets: mx.array) -> mx.array:
    """-log N(target; mean, deviation^2) = log deviation + z^2 / 2 + log(2 pi) / 2 with z = (target - mean) / deviation.

    Reference: Nix and Weigend 1994, ICNN.
    """
    deviations = deviations.astype(mx.float32)
    scaled = _difference(means, targets) / deviations
    return mx.log(deviations) + mx.square(scaled) / 2 + math.log(2 * math.pi) / 2


def cumulative_log_probabilities(logits: mx.array) -> mx.array:
    """The log-probability of each of K ordered classes, from P(y > k) = sigmoid(logits[k]).

    P(y = k) = s(a) - s(b) with a = logits[k - 1] > b = logits[k] is computed as s(a) s(-b) (1 - e^(b - a)), a product of
    positive numbers, so that none is negative and no logarithm infinite.

    Args:
        logits: [B, K-1], falling along k.

    Returns:
        [B, K] in f32.

    Reference: McCullagh 1980, Journal of the Royal Statistical Society B 42 (proportional odds).
    """
    logits = logits.astype(mx.float32)
    edge = mx.full((*logits.shape[:-1], 1), CERTAIN)
    above, below = (
        mx.concatenate([edge, logits], axis=-1),
        mx.concatenate([logits, -edge], axis=-1),
    )
    gap = mx.maximum(above - below, SMALLEST_GAP)
    return _log_sigmoid(above) + _log_sigmoid(-below) + mx.log(-mx.expm1(-gap))


def stepwise_log_probabilities(logits: mx.array) -> mx.array:
    """The log-probability of each of K ordered classes, from P(y > k | y >= k) = sigmoid(logits[k]).

    P(y = k) is the chance of every step up to k and of none beyond: never negative, and they sum to 1.

    Args:
        logits: [B, K-1], any real numbers.

    Returns:
        [B, K] in f32.

    Reference: Shi, Cao and Raschka 2021, arXiv 2111.08851 (CORN); in statistics the continuation-ratio model.
    """
    logits = logits.astype(mx.float32)
    none = mx.zeros((*logits.shape[:-1], 1))
    reached = mx.concatenate([none, mx.cumsum(_log_sigmoid(logits), axis=-1)], axis=-1)
    return reached + mx.concatenate([_log_sigmoid(-logits), none], axis=-1)


def pick(log_probabilities: mx.array, labels: mx.array) -> mx.array:
    """-log P(label): [B, K] and [B] to [B]."""
    return -mx.take_along_axis(log_probabilities, labels.astype(mx.int32)[:, None], axis=-1)[:, 0]


def _log_sigmoid(x: mx.array) -> mx.array:
    return -mx.logaddexp(-x, 0)


def _difference(predictions: mx.array, targets: mx.array) -> mx.array:
    return predictions.astype(mx.float32) - targets.astype(mx.float32)


def log_softmax(logits: mx.array) -> mx.array:
    """Log P of each class, [B, L] in f32."""
    logits = logits.astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def bernoulli_divergence(logits: mx.array, others: mx.array) -> mx.array:
    """(KL(p, q) + KL(q, p)) / 2 of yes-or-no answers by their log odds; it is (p - q) * (logit p - logit q) / 2."""
    logits, others = logits.astype(mx.float32), others.astype(mx.float32)
    return 0.5 * (mx.sigmoid(logits) - mx.sigmoid(others)) * (logits - others)


def categorical_divergence(log_p: mx.array, log_q: mx.array) -> mx.array:
    """(KL(p, q) + KL(q, p)) / 2 of distributions over classes, given as logarithms: [B, L] to [B]."""
    return 0.5 * ((mx.exp(log_p) - mx.exp(log_q)) * (log_p - log_q)).sum(axis=-1)


def gaussian_divergence(answers: mx.array, others: mx.array) -> mx.array:
    """(KL(p, q) + KL(q, p)) / 2 of normal distributions, given as [B, 2] of mean and standard deviation: to [B]."""
    square = mx.square(answers[:, 0] - others[:, 0])
    variance, other = mx.square(answers[:, 1]), mx.square(others[:, 1])
    return 0.25 * ((variance + square) / other + (other + square) / variance - 2)
