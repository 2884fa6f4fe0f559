"""RegressionHead, TimeSeriesRegressionHead: numbers, with their uncertainty if asked, and several steps ahead."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import mlx.core as mx
import mlx.nn as nn

from bert_playground.models.heads.base import BaseHead
from bert_playground.models.heads.config import HeadConfig
from bert_playground.models.heads.losses import (
    absolute_error,
    gaussian_divergence,
    gaussian_likelihood,
    huber,
    squared_error,
)
from bert_playground.models.tokenwise import Linear
from bert_playground.tokens import Tokens

LossFunction = Callable[[mx.array, mx.array], mx.array]
# Of standardised targets: keeps the likelihood of a row that is met exactly finite.
SMALLEST_DEVIATION = 1e-3
ONE_BEFORE_SOFTPLUS = math.log(math.e - 1)  # so that training starts from a deviation of 1
DEFAULT_HORIZON = 24


def choose_loss(config: HeadConfig) -> LossFunction:
    """The function that `loss_type` names."""
    losses: dict[str, LossFunction] = {
        "mse": squared_error,
        "mae": absolute_error,
        "huber": partial(huber, delta=config.huber_delta),
    }
    return losses[config.loss_type]


class RegressionHead(BaseHead):
    """A number, without bounds.

    Args:
        hidden_size: H.
        loss_type: mse, mae or huber.
        uncertainty_estimation: predict a standard deviation beside the mean; the loss is the Gaussian likelihood.
        options: other fields of HeadConfig.
    """

    head_type: ClassVar[str] = "regression"
    task: ClassVar[str] = "regression"
    problem_type: ClassVar[str] = "regression"

    def __init__(
        self,
        hidden_size: int,
        loss_type: str = "mse",
        uncertainty_estimation: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            HeadConfig(
                hidden_size=hidden_size,
                loss_type=loss_type,
                uncertainty_estimation=uncertainty_estimation,
                **options,
            )
        )

    @property
    def output_size(self) -> int:
        """One, or two with uncertainty."""
        return 2 if self.config.uncertainty_estimation else 1

    @property
    def num_labels(self) -> int:
        """One number."""
        return 1

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The error of each row, as `loss_type` counts it, or -log of its likelihood; labels are numbers."""
        if not self.config.uncertainty_estimation:
            return choose_loss(self.config)(logits, labels)
        answer = self.predict(logits)
        return gaussian_likelihood(answer[:, 0], answer[:, 1], labels)

    def divergence(self, logits: mx.array, others: mx.array) -> mx.array:
        """The squared difference; with uncertainty the Kullback-Leibler divergence of the normal distributions."""
        if not self.config.uncertainty_estimation:
            return super().divergence(logits, others)
        return gaussian_divergence(self.predict(logits), self.predict(others))

    def predict(self, logits: mx.array) -> mx.array:
        """The predicted number, [B] in f32; with uncertainty [B, 2]: mean and standard deviation."""
        logits = logits.astype(mx.float32)
        if not self.config.uncertainty_estimation:
            return logits
        deviations = mx.logaddexp(logits[:, 1] + ONE_BEFORE_SOFTPLUS, 0) + SMALLEST_DEVIATION
        return mx.stack([logits[:, 0], deviations], axis=1)


class TemporalFeatures(nn.Module):
    """What is particular to each step: a learned embedding, which begins as sines and cosines, and given features."""

    def __init__(self, head: BaseHead, num_steps: int, hidden_size: int) -> None:
        super().__init__()
        draw = head.draw(head.config.dense_std)
        self.steps = 0.1 * sinusoids(num_steps, hidden_size)
        self.pooled = Linear(hidden_size, hidden_size, bias=True, initialize=draw)
        if head.config.num_temporal_features:
            self.given = Linear(
                head.config.num_temporal_features, hidden_size, bias=False, initialize=draw
            )
        self.readout = Linear(
            hidden_size, 1, bias=False, initialize=head.draw(head.config.classifier_std)
        )

    def __call__(self, pooled: mx.array, given: mx.array | None) -> mx.array:
        """What each step adds to the forecast: [B, H] and [B, S, F] to [B, S]."""
        mixed = self.pooled(pooled)[:, None] + self.steps
        if "given" in self:
            assert given is not None
            mixed = mixed + self.given(given.astype(mx.float32))
        return self.readout(nn.gelu(mixed))[..., 0]


class TimeSeriesRegressionHead(BaseHead):
    """The next S values of a series at once.

    Args:
        hidden_size: H.
        forecast_horizon: S, the number of steps.
        use_temporal_features: let every step have an embedding of its own, and features where they are given.
        loss_type: mse, mae or huber, the mean over the steps.
        options: other fields of HeadConfig.
    """

    head_type: ClassVar[str] = "timeseries"
    task: ClassVar[str] = "timeseries"
    problem_type: ClassVar[str] = "regression"
    has_many_labels: ClassVar[bool] = True

    def __init__(
        self,
        hidden_size: int,
        forecast_horizon: int = DEFAULT_HORIZON,
        use_temporal_features: bool = False,
        loss_type: str = "mse",
        **options: Any,
    ) -> None:
        super().__init__(
            HeadConfig(
                hidden_size=hidden_size,
                num_labels=forecast_horizon,
                use_temporal_features=use_temporal_features,
                loss_type=loss_type,
                **options,
            )
        )

    @property
    def output_size(self) -> int:
        """S."""
        return int(self.config.num_labels or DEFAULT_HORIZON)

    def add_parts(self, hidden_size: int) -> None:
        """The embedding of steps, where it is asked."""
        if self.config.uncertainty_estimation:
            raise ValueError(
                "a timeseries head has no uncertainty_estimation; use a regression head for each step"
            )
        if self.config.use_temporal_features:
            self.temporal = TemporalFeatures(self, self.output_size, hidden_size)

    def __call__(
        self,
        hidden: mx.array,
        tokens: Tokens | mx.array | None = None,
        temporal_features: mx.array | None = None,
    ) -> mx.array:
        """The forecast of each row, [B, S] in f32.

        Args:
            hidden: [B, T, H] or [N, H], as `tokens` says.
            tokens: the layout, or a plain attention mask.
            temporal_features: [B, S, F], what is known of each step, such as its hour, where the head was made for F
                (`num_temporal_features`).

        Raises:
            ValueError: features have another shape, or are given to a head that was made for none.
        """
        hidden, tokens = self.lay_out(hidden, tokens)
        num_features = self.config.num_temporal_features
        expected = (tokens.num_rows, self.output_size, num_features) if num_features else None
        if expected != (None if temporal_features is None else temporal_features.shape):
            came = "none" if temporal_features is None else f"shape {list(temporal_features.shape)}"
            wanted = "none" if expected is None else f"shape {list(expected)}"
            raise ValueError(
                f"temporal_features: {came}, expected {wanted}; the head's num_temporal_features is {num_features}"
            )
        return self.answer(self.embed(hidden, tokens), temporal_features)

    def answer(self, pooled: mx.array, temporal_features: mx.array | None = None) -> mx.array:
        """The forecast of the vectors that `embed` made: [B, H] to [B, S]."""
        transformed = self.transform(pooled)
        forecast = self.forward(transformed)
        if self.config.use_temporal_features:
            forecast = forecast + self.temporal(transformed, temporal_features)
        return forecast

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The mean error of each row's steps, as `loss_type` counts it; labels are [B, S]."""
        return choose_loss(self.config)(logits, labels).mean(axis=-1)

    def predict(self, logits: mx.array) -> mx.array:
        """The forecast, [B, S] in f32."""
        return logits.astype(mx.float32)


def sinusoids(num_steps: int, size: int) -> mx.array:
    """[S, H]: sines and cosines of each step's number at falling frequencies.

    Reference: Vaswani et al. 2017, arXiv 1706.03762.
    """
    frequencies = mx.exp(-math.log(10_000) * mx.arange(0, size, 2) / size)
    angles = mx.arange(num_steps)[:, None] * frequencies
    return mx.concatenate([mx.sin(angles), mx.cos(angles)], axis=-1)[:, :size]
