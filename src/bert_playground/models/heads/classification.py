"""BinaryClassificationHead, MulticlassClassificationHead, MultilabelClassificationHead."""

from collections.abc import Sequence
from typing import Any, ClassVar

import mlx.core as mx

from bert_playground.models.heads.base import BaseHead
from bert_playground.models.heads.config import HeadConfig
from bert_playground.models.heads.losses import (
    bernoulli_divergence,
    binary_cross_entropy,
    categorical_divergence,
    cross_entropy,
    log_softmax,
)


class BinaryClassificationHead(BaseHead):
    """One of two classes: a single logit per row, the log odds of class 1.

    Args:
        hidden_size: H.
        hidden_dropout_prob: before the classifier.
        use_focal_loss: count what is already right for less, for rare classes.
        focal_gamma: how much less.
        temperature_scaling: logits are divided by it to make probabilities.
        options: other fields of HeadConfig.
    """

    head_type: ClassVar[str] = "binary"
    task: ClassVar[str] = "binary"
    list_options: ClassVar[tuple[str, ...]] = ("class_weights",)

    def __init__(
        self,
        hidden_size: int,
        hidden_dropout_prob: float | None = None,
        use_focal_loss: bool = False,
        focal_gamma: float = 2.0,
        temperature_scaling: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(
            HeadConfig(
                hidden_size=hidden_size,
                hidden_dropout_prob=hidden_dropout_prob,
                use_focal_loss=use_focal_loss,
                focal_gamma=focal_gamma,
                temperature_scaling=temperature_scaling,
                **options,
            )
        )

    @property
    def output_size(self) -> int:
        """One."""
        return 1

    @property
    def num_labels(self) -> int:
        """Two classes."""
        return 2

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """Binary cross-entropy of each row; labels are 0 or 1."""
        return binary_cross_entropy(
            logits,
            labels,
            label_smoothing=self.config.label_smoothing,
            focal_gamma=self.config.focal_gamma if self.config.use_focal_loss else 0.0,
        )

    def divergence(self, logits: mx.array, others: mx.array) -> mx.array:
        """The symmetric Kullback-Leibler divergence of two answers, [B]."""
        return bernoulli_divergence(logits, others)

    def predict(self, logits: mx.array) -> mx.array:
        """P(class 1), [B] in f32."""
        return mx.sigmoid(logits.astype(mx.float32) / self.config.temperature_scaling)


class MulticlassClassificationHead(BaseHead):
    """One of L classes: L logits per row.

    Args:
        hidden_size: H.
        num_labels: L, at least 2.
        label_smoothing: how much of the loss is spread over all classes.
        use_multiclass_focal: count what is already right for less, for rare classes.
        options: other fields of HeadConfig.
    """

    head_type: ClassVar[str] = "multiclass"
    task: ClassVar[str] = "multiclass"
    list_options: ClassVar[tuple[str, ...]] = ("class_weights",)

    def __init__(
        self,
        hidden_size: int,
        num_labels: int,
        label_smoothing: float = 0.0,
        use_multiclass_focal: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            HeadConfig(
                hidden_size=hidden_size,
                num_labels=num_labels,
                label_smoothing=label_smoothing,
                use_focal_loss=use_multiclass_focal,
                **options,
            )
        )

    @property
    def output_size(self) -> int:
        """L."""
        num_labels = self.config.num_labels
        if num_labels is None or num_labels < 2:
            raise ValueError(f"a multiclass head needs num_labels of at least 2, got {num_labels}")
        return int(num_labels)

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """Cross-entropy of each row; labels are integers in 0..L-1."""
        return cross_entropy(
            logits,
            labels,
            label_smoothing=self.config.label_smoothing,
            focal_gamma=self.config.focal_gamma if self.config.use_focal_loss else 0.0,
        )

    def divergence(self, logits: mx.array, others: mx.array) -> mx.array:
        """The symmetric Kullback-Leibler divergence of two answers, [B]."""
        return categorical_divergence(log_softmax(logits), log_softmax(others))

    def predict(self, logits: mx.array) -> mx.array:
        """The probability of each class, [B, L] in f32."""
        logits = logits.astype(mx.float32) / self.config.temperature_scaling
        return mx.softmax(logits, axis=-1)


class MultilabelClassificationHead(BaseHead):
    """Any number of L labels: L logits per row, each the log odds of one label.

    Args:
        hidden_size: H.
        num_labels: L, at least 1.
        pos_weight: how much more a present label counts than an absent one, for each label; None: 1.
        adaptive_threshold: learn from validation rows where each label begins, instead of at 0.5.
        options: other fields of HeadConfig.
    """

    head_type: ClassVar[str] = "multilabel"
    task: ClassVar[str] = "multilabel"
    problem_type: ClassVar[str] = "multi_label_classification"
    has_many_labels: ClassVar[bool] = True
    list_options: ClassVar[tuple[str, ...]] = ("pos_weight", "thresholds")

    def __init__(
        self,
        hidden_size: int,
        num_labels: int,
        pos_weight: Sequence[float] | None = None,
        adaptive_threshold: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            HeadConfig(
                hidden_size=hidden_size,
                num_labels=num_labels,
                pos_weight=None if pos_weight is None else tuple(pos_weight),
                adaptive_threshold=adaptive_threshold,
                **options,
            )
        )

    @property
    def output_size(self) -> int:
        """L."""
        if self.config.num_labels is None:
            raise ValueError("a multilabel head needs num_labels, the number of labels")
        return int(self.config.num_labels)

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The mean binary cross-entropy of each row's labels; labels are [B, L] of 0 and 1."""
        weight = self.config.pos_weight
        losses = binary_cross_entropy(
            logits,
            labels,
            label_smoothing=self.config.label_smoothing,
            focal_gamma=self.config.focal_gamma if self.config.use_focal_loss else 0.0,
            pos_weight=None if weight is None else mx.array(weight),
        )
        return losses.mean(axis=-1)

    def divergence(self, logits: mx.array, others: mx.array) -> mx.array:
        """The mean over the labels of the symmetric Kullback-Leibler divergence, [B]."""
        return bernoulli_divergence(logits, others).mean(axis=-1)

    def predict(self, logits: mx.array) -> mx.array:
        """The probability of each label, [B, L] in f32; they need not sum to 1."""
        return mx.sigmoid(logits.astype(mx.float32))

    def decide(self, probabilities: mx.array) -> mx.array:
        """Which labels are present, [B, L] of booleans: from the learned thresholds on, else from 0.5."""
        return probabilities >= mx.array(self.config.thresholds or (0.5,) * self.num_labels)
