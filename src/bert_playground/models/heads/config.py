"""HeadConfig: the shape of a head, its loss and what was learned about its answers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from bert_playground.lookup import nearest

TRANSFORMS = ("none", "tanh", "dropout_tanh", "gelu_norm")
LOSS_TYPES = ("mse", "mae", "huber")
POOLING_NAMES = ("cls", "mean", "max", "attention")
# What a head does that is made without an encoder.
ALONE = {"pooling": "cls", "transform": "none", "hidden_dropout_prob": 0.1}
# Options with one number per class or label; each head says which of them it reads.
LARGEST = 2**20  # classes, numbers of a row, width: more were never seen
LISTS = ("class_weights", "class_priors", "pos_weight", "thresholds")


@dataclass(frozen=True)
class HeadConfig:
    """The shape of a head; each head reads the options that concern it.

    What is None follows the encoder (`on`), or for a head made alone: cls, none and 0.1.

    Attributes:
        head_type: a name in HEADS.
        num_labels: classes, labels or steps; None where the head can have only one number of them.
        pooling: cls, mean, max or attention.
        transform: between pooling and classifier: none, tanh (BERT's pooler: dense, tanh), dropout_tanh (NeoBERT's:
            dropout, dense, tanh) or gelu_norm (ModernBERT's prediction head: dense, gelu, norm).
        hidden_dropout_prob: before the classifier.
        class_weights: how much the rows of each class count in the loss; None: all the same.
        use_focal_loss: count what is already right for less.
        temperature_scaling: logits are divided by it to make probabilities; above 1 they become less sure.
        pos_weight: multilabel: how much more a present label counts than an absent one, for each label.
        adaptive_threshold: multilabel: learn from validation rows where each label begins.
        thresholds: multilabel: what was learned; None: 0.5 for all.
        uncertainty_estimation: regression: predict a standard deviation beside the mean (Gaussian likelihood).
        use_cumulative_link: ordinal: one score against ordered cut-points; otherwise one question per step up.
        class_priors: ordinal: the probability of each class before training; None: all the same.
        use_temporal_features: time series: a learned embedding of each step, and given features of it.
        num_temporal_features: time series: how many numbers are given for each step; 0: none.
        num_numbers: how many numbers stand beside the text of a row; 0: none.
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
    class_weights: tuple[float, ...] | None = None
    use_focal_loss: bool = False
    focal_gamma: float = 2.0
    temperature_scaling: float = 1.0
    label_smoothing: float = 0.0
    pos_weight: tuple[float, ...] | None = None
    adaptive_threshold: bool = False
    thresholds: tuple[float, ...] | None = None
    loss_type: str = "mse"
    huber_delta: float = 1.0
    uncertainty_estimation: bool = False
    use_cumulative_link: bool = True
    class_priors: tuple[float, ...] | None = None
    use_temporal_features: bool = False
    num_temporal_features: int = 0
    num_numbers: int = 0
    dense_std: float = 0.02
    classifier_std: float = 0.02
    initializer_cutoff: float | None = None

    def __post_init__(self) -> None:
        for name in LISTS:  # JSON and people give lists
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        wrong = [*self._wrong_names(), *self._wrong_numbers(), *self._wrong_lists()]
        if self.uncertainty_estimation and self.loss_type != "mse":
            wrong.append(
                f"loss_type {self.loss_type!r} with uncertainty_estimation, whose loss is the Gaussian likelihood; "
                "leave loss_type out"
            )
        if self.num_temporal_features and not self.use_temporal_features:
            wrong.append("num_temporal_features without use_temporal_features")
        if wrong:
            raise ValueError(f"impossible head: {'; '.join(wrong)}")

    def _wrong_names(self) -> list[str]:
        wrong = []
        for name, known in (
            ("pooling", POOLING_NAMES),
            ("transform", TRANSFORMS),
            ("loss_type", LOSS_TYPES),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                wrong.append(
                    f"unknown {name} {value!r}{nearest(value, known)} (known: {', '.join(known)})"
                )
        return wrong

    def _wrong_numbers(self) -> list[str]:
        wrong = []
        for name, lowest in (
            ("hidden_size", 1),
            ("num_labels", 1),
            ("focal_gamma", 0),
            ("num_temporal_features", 0),
            ("num_numbers", 0),
        ):
            value = getattr(self, name)
            if value is not None and not lowest <= value <= LARGEST:
                wrong.append(f"{name} is {value}, expected {lowest} to {LARGEST:,}")
        for name in ("hidden_dropout_prob", "label_smoothing"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                wrong.append(f"{name} is {getattr(self, name)}, expected at least 0 and below 1")
        for name in ("temperature_scaling", "huber_delta"):
            if not 0 < getattr(self, name) < math.inf:
                wrong.append(f"{name} is {getattr(self, name)}, expected more than 0")
        return wrong

    def _wrong_lists(self) -> list[str]:
        wrong = []
        for name in LISTS:
            values = getattr(self, name)
            if values is None:
                continue
            most = 1.0 if name in ("thresholds", "class_priors") else math.inf
            if not all(math.isfinite(value) and 0 <= value <= most for value in values):
                wrong.append(f"{name} is {list(values)}, expected numbers from 0 to {most:g}")
            elif sum(values) == 0:
                wrong.append(f"{name} is {list(values)}: all are 0")
        return wrong

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
