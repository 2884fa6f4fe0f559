"""RegressionHead: one number per row."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import mlx.core as mx

from bert_playground.models.heads.base import BaseHead, HeadConfig
from bert_playground.models.heads.losses import absolute_error, huber, squared_error

LossFunction = Callable[[mx.array, mx.array], mx.array]


class RegressionHead(BaseHead):
    """A number, without bounds.

    Args:
        hidden_size: H.
        loss_type: mse, mae or huber.
        options: other fields of HeadConfig.
    """

    head_type: ClassVar[str] = "regression"

    def __init__(self, hidden_size: int, loss_type: str = "mse", **options: Any) -> None:
        super().__init__(HeadConfig(hidden_size=hidden_size, loss_type=loss_type, **options))

    @property
    def output_size(self) -> int:
        """One."""
        return 1

    @property
    def loss_function(self) -> LossFunction:
        """The function that `loss_type` names."""
        losses: dict[str, LossFunction] = {
            "mse": squared_error,
            "mae": absolute_error,
            "huber": partial(huber, delta=self.config.huber_delta),
        }
        return losses[self.config.loss_type]

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The error of each row, as `loss_type` counts it; labels are numbers."""
        return self.loss_function(logits, labels)

    def predict(self, logits: mx.array) -> mx.array:
        """The predicted number, [B] in f32."""
        return logits.astype(mx.float32)
