"""HeadConfig, BaseHead: pool → transform → dropout → forward; loss; predict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.lookup import look_up, nearest
from bert_playground.models.heads.pooling import POOLINGS, pool_attention
from bert_playground.models.tokenwise import (
    Initializer,
    Linear,
    Norm,
    normal,
    truncated_normal,
)
from bert_playground.tokens import Tokens

TRANSFORMS = ("none", "tanh", "gelu_norm")
LOSS_TYPES = ("mse", "mae", "huber")
# What a head does that is made without an encoder.
ALONE = {"pooling": "cls", "transform": "none", "hidden_dropout_prob": 0.1}


@dataclass(frozen=True)
class HeadConfig:
    """The shape of a head; each head reads the options that concern it.

    What is None follows the encoder (`on`), or for a head made alone: cls, none and 0.1.

    Attributes:
        head_type: a name in HEADS.
        pooling: cls, mean, max or attention.
        transform: between pooling and classifier: none, tanh (BERT's pooler: dense, tanh) or gelu_norm (ModernBERT's
            prediction head: dense, gelu, norm).
        hidden_dropout_prob: before the classifier.
        temperature_scaling: logits are divided by it to make probabilities; above 1 they become less sure.
        initializer_cutoff: weights are drawn from a normal distribution cut off at so many deviations; None: uncut.
    """

    head_type: str = "binary"
    hidden_size: int | None = None
    num_labels: int | None = None
    pooling: str | None = None
    transform: str | None = None
    transform_bias: bool = True
    norm_bias: bool = False
    norm_eps: float = 1e-5
    hidden_dropout_prob: float | None = None
    use_focal_loss: bool = False
    focal_gamma: float = 2.0
    temperature_scaling: float = 1.0
    label_smoothing: float = 0.0
    loss_type: str = "mse"
    huber_delta: float = 1.0
    dense_std: float = 0.02
    classifier_std: float = 0.02
    initializer_cutoff: float | None = None

    def __post_init__(self) -> None:
        wrong = []
        for name, known in (
            ("pooling", (*POOLINGS, "attention")),
            ("transform", TRANSFORMS),
            ("loss_type", LOSS_TYPES),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                wrong.append(
                    f"unknown {name} {value!r}{nearest(value, known)} (known: {', '.join(known)})"
                )
        for name, lowest in (("hidden_size", 1), ("focal_gamma", 0)):
            if (getattr(self, name) or lowest) < lowest:
                wrong.append(f"{name} is {getattr(self, name)}, expected at least {lowest}")
        for name in ("hidden_dropout_prob", "label_smoothing"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                wrong.append(f"{name} is {getattr(self, name)}, expected at least 0 and below 1")
        for name in ("temperature_scaling", "huber_delta"):
            if getattr(self, name) <= 0:
                wrong.append(f"{name} is {getattr(self, name)}, expected more than 0")
        if wrong:
            raise ValueError(f"impossible head: {'; '.join(wrong)}")

    def on(self, encoder_options: Mapping[str, Any]) -> Self:
        """The same head on an encoder: its sizes, and its ways wherever nothing else was asked.

        Args:
            encoder_options: fields of HeadConfig, from the encoder's `head_options`.
        """
        asked = ("pooling", "transform", "hidden_dropout_prob")
        kept = {name for name in asked if getattr(self, name) is not None}
        return replace(
            self, **{name: value for name, value in encoder_options.items() if name not in kept}
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; unknown keys are ignored."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """All options, ready for JSON."""
        return asdict(self)


class BaseHead(nn.Module):
    """What all heads share: from hidden states to logits.

    A new head sets `head_type`, implements `output_size`, `row_losses` and `predict`, and is added to HEADS.
    """

    head_type: ClassVar[str]

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config = replace(config.on(ALONE), head_type=self.head_type)
        if config.hidden_size is None:
            raise ValueError("a head needs hidden_size, the width of the encoder's vectors")
        size, cutoff = config.hidden_size, config.initializer_cutoff

        def draw(std: float) -> Initializer:
            return normal(std) if cutoff is None else truncated_normal(std, cutoff)

        if config.pooling == "attention":
            # Scores of 0 weigh all tokens alike: training starts from the mean.
            self.attention_pooler = Linear(size, 1, bias=False, initialize=mx.zeros)
        if config.transform != "none":
            self.dense = Linear(
                size, size, bias=config.transform_bias, initialize=draw(config.dense_std)
            )
        if config.transform == "gelu_norm":
            self.norm = Norm(size, eps=config.norm_eps, bias=config.norm_bias)
        self.classifier = Linear(
            size, self.output_size, bias=True, initialize=draw(config.classifier_std)
        )

    @classmethod
    def from_config(cls, config: HeadConfig) -> Self:
        """Make the head that the config describes."""
        head = cls.__new__(cls)
        BaseHead.__init__(head, config)
        return head

    @property
    def output_size(self) -> int:
        """The number of logits per row."""
        raise NotImplementedError

    def __call__(self, hidden: mx.array, tokens: Tokens) -> mx.array:
        """Logits of each row, in f32 whatever the precision of the encoder.

        Args:
            hidden: [B, T, H] or [N, H], as `tokens` says.
            tokens: the layout.
        """
        return self.forward(self.transform(self.pool(hidden, tokens)))

    def pool(self, hidden: mx.array, tokens: Tokens) -> mx.array:
        """One vector per row, [B, H]."""
        if self.config.pooling == "attention":
            return pool_attention(hidden, tokens, self.attention_pooler.weight[0])
        return look_up(POOLINGS, str(self.config.pooling), "pooling")(hidden, tokens)

    def transform(self, pooled: mx.array) -> mx.array:
        """What stands between pooling and classifier, dropout last: [B, H] to [B, H]."""
        if self.config.transform == "tanh":
            pooled = mx.tanh(self.dense(pooled))
        elif self.config.transform == "gelu_norm":
            pooled = self.norm(self.dense(pooled, "gelu"))
        rate = self.config.hidden_dropout_prob if self.training else None
        return kernels.dropout(pooled, rate or 0.0)

    def forward(self, pooled: mx.array) -> mx.array:
        """Logits [B, L], or [B] when there is one per row."""
        logits = self.classifier(pooled)
        return logits[:, 0] if self.output_size == 1 else logits

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The loss of each row, [B] in f32."""
        raise NotImplementedError

    def loss(self, logits: mx.array, labels: mx.array, weights: mx.array | None = None) -> mx.array:
        """The mean loss of the rows, a scalar in f32.

        Args:
            logits: what the head returned.
            labels: [B]; see `row_losses`.
            weights: [B], how much each row counts; None: all the same.

        Raises:
            ValueError: labels are not one per row.
        """
        if labels.shape != logits.shape[:1]:
            hint = "; pass labels.squeeze(1)" if labels.shape == (logits.shape[0], 1) else ""
            raise ValueError(
                f"labels has shape {list(labels.shape)}, expected {list(logits.shape[:1])}{hint}"
            )
        losses = self.row_losses(logits, labels)
        if weights is None:
            return losses.mean()
        return (losses * weights).sum() / mx.maximum(weights.sum(), 1e-12)

    def predict(self, logits: mx.array) -> mx.array:
        """The answer: probabilities of classes, or values."""
        raise NotImplementedError
