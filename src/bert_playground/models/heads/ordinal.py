"""OrdinalRegressionHead: classes that have an order, by cut-points on one score or by one question per step."""

from typing import Any, ClassVar

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground.models.heads.base import BaseHead
from bert_playground.models.heads.config import HeadConfig
from bert_playground.models.heads.losses import (
    categorical_divergence,
    cumulative_log_probabilities,
    pick,
    stepwise_log_probabilities,
)

# Between neighbouring cut-points: no class can vanish altogether.
SMALLEST_STEP = 1e-3


class CutPoints(nn.Module):
    """K - 1 rising numbers: the first one free, then softplus steps, so that no gradient can put them out of order."""

    def __init__(self, class_priors: tuple[float, ...]) -> None:
        super().__init__()
        # A class without rows still needs room between its neighbours.
        priors = np.maximum(np.asarray(class_priors, dtype=np.float64), 1e-4)
        cumulated = (priors.cumsum() / priors.sum())[:-1]
        points = np.log(cumulated) - np.log1p(-cumulated)
        steps = np.maximum(np.diff(points) - SMALLEST_STEP, 1e-4)
        self.first = mx.array(points[:1].astype(np.float32))
        self.steps = mx.array(np.log(np.expm1(steps)).astype(np.float32))

    def __call__(self) -> mx.array:
        """The cut-points, [K - 1] rising."""
        steps = mx.logaddexp(self.steps, 0) + SMALLEST_STEP
        return mx.concatenate([self.first, self.first + mx.cumsum(steps)])


class OrdinalRegressionHead(BaseHead):
    """One of K classes that have an order, numbered along it.

    With a cumulative link, one score f is compared with K - 1 cut-points: P(y > k) = sigmoid(f - cut[k]). Without, every
    step up is a question of its own: P(y > k | y >= k) = sigmoid(logits[k]). Both give probabilities that are never
    negative and sum to 1, and the loss is -log P(y).

    Args:
        hidden_size: H.
        num_classes: K, at least 2.
        use_cumulative_link: cut-points on one score (fewer parameters), else a question for each step.
        options: other fields of HeadConfig.

    Reference: McCullagh 1980 (cumulative link); Shi, Cao and Raschka 2021, arXiv 2111.08851 (steps).
    """

    head_type: ClassVar[str] = "ordinal"
    task: ClassVar[str] = "ordinal"
    list_options: ClassVar[tuple[str, ...]] = ("class_weights", "class_priors")

    def __init__(
        self, hidden_size: int, num_classes: int, use_cumulative_link: bool = True, **options: Any
    ) -> None:
        super().__init__(
            HeadConfig(
                hidden_size=hidden_size,
                num_labels=num_classes,
                use_cumulative_link=use_cumulative_link,
                **options,
            )
        )

    @property
    def num_labels(self) -> int:
        """K."""
        num_classes = self.config.num_labels
        if num_classes is None or num_classes < 2:
            raise ValueError(
                f"an ordinal head needs num_classes (num_labels) of at least 2, got {num_classes}"
            )
        return int(num_classes)

    @property
    def output_size(self) -> int:
        """One score, or K - 1 questions."""
        num_classes = self.num_labels
        return 1 if self.config.use_cumulative_link else num_classes - 1

    @property
    def has_classifier_bias(self) -> bool:
        """Cut-points are a bias already."""
        return not self.config.use_cumulative_link

    def add_parts(self, hidden_size: int) -> None:
        """The cut-points: at first where they give each class its prior probability."""
        del hidden_size
        if self.config.use_cumulative_link:
            priors = self.config.class_priors or (1.0,) * self.num_labels
            self.cut_points = CutPoints(priors)

    def forward(self, pooled: mx.array) -> mx.array:
        """[B, K - 1]: the log odds of y > k, or of y > k among those with y >= k."""
        scores = self.classifier(pooled)
        return scores - self.cut_points() if self.config.use_cumulative_link else scores

    def log_probabilities(self, logits: mx.array) -> mx.array:
        """Of each class, [B, K] in f32."""
        if self.config.use_cumulative_link:
            return cumulative_log_probabilities(logits)
        return stepwise_log_probabilities(logits)

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """-log P(label) of each row; labels are integers in 0..K-1, numbered along the order."""
        return pick(self.log_probabilities(logits), labels)

    def divergence(self, logits: mx.array, others: mx.array) -> mx.array:
        """The symmetric Kullback-Leibler divergence of two answers, [B]."""
        return categorical_divergence(
            self.log_probabilities(logits), self.log_probabilities(others)
        )

    def predict(self, logits: mx.array) -> mx.array:
        """The probability of each class, [B, K] in f32."""
        return mx.softmax(self.log_probabilities(logits), axis=-1)
