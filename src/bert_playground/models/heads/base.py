"""BaseHead: pool → numeric features → transform → dropout → forward; loss; predict."""

from dataclasses import replace
from typing import Any, ClassVar, Self

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground import kernels
from bert_playground.lookup import look_up, shorten
from bert_playground.models.heads.config import ALONE, LISTS, HeadConfig
from bert_playground.models.heads.numeric_features import (
    NumericFeatureEncoder,
    check_numeric_features,
)
from bert_playground.models.heads.pooling import POOLINGS, pool_attention
from bert_playground.models.tokenwise import (
    Initializer,
    Linear,
    Norm,
    normal,
    truncated_normal,
)
from bert_playground.tokens import Tokens


class BaseHead(nn.Module):
    """What all heads share: from hidden states to logits.

    A new head sets `head_type` and `task`, implements `output_size`, `row_losses` and `predict`, and is added to HEADS.
    One that extends another head needs only what differs. Parameters of its own are made in `add_parts`.
    """

    head_type: ClassVar[str]
    task: ClassVar[str]  # a name in TASKS: which question its answers belong to
    problem_type: ClassVar[str] = "single_label_classification"  # what Hugging Face calls it
    # Whether labels are [B, L], a number for each logit, instead of [B].
    has_many_labels: ClassVar[bool] = False
    list_options: ClassVar[tuple[str, ...]] = ()  # those of `LISTS` that it reads

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config = replace(config.on(ALONE), head_type=self.head_type)
        if config.hidden_size is None:
            raise ValueError("a head needs hidden_size, the width of the encoder's vectors")
        size = config.hidden_size
        if config.pooling == "attention":
            # Scores of 0 weigh all tokens alike: training starts from the mean.
            self.attention_pooler = Linear(size, 1, bias=False, initialize=mx.zeros)
        if config.transform != "none":
            self.dense = Linear(
                size, size, bias=config.transform_bias, initialize=self.draw(config.dense_std)
            )
        if config.transform == "gelu_norm":
            self.norm = Norm(size, eps=config.norm_eps, bias=config.norm_bias)
        self.classifier = Linear(
            size,
            self.output_size,
            bias=self.has_classifier_bias,
            initialize=self.draw(config.classifier_std),
        )
        self._check_lists()
        self.add_parts(size)
        if config.num_numbers:
            self.numbers = NumericFeatureEncoder(config.num_numbers, size)

    @classmethod
    def from_config(cls, config: HeadConfig) -> Self:
        """Make the head that the config describes."""
        head = cls.__new__(cls)
        BaseHead.__init__(head, config)
        return head

    @property
    def output_size(self) -> int:
        """The width of the classifier: in most heads the number of logits per row."""
        raise NotImplementedError

    @property
    def num_labels(self) -> int:
        """How many classes, labels, numbers or steps the head answers."""
        return self.output_size

    @property
    def has_classifier_bias(self) -> bool:
        """Whether the classifier adds a number of its own to each logit."""
        return True

    def draw(self, std: float) -> Initializer:
        """How weights of this deviation begin."""
        cutoff = self.config.initializer_cutoff
        return normal(std) if cutoff is None else truncated_normal(std, cutoff)

    def add_parts(self, hidden_size: int) -> None:
        """Make the parameters that only this head has; called once, at the end of its making."""

    def _check_lists(self) -> None:
        """Check that every option with a number per label is one that the head reads, of the right length."""
        wrong = []
        for name in LISTS:
            values = getattr(self.config, name)
            if values is None:
                continue
            if name not in self.list_options:
                wrong.append(f"a {self.head_type} head has no {name}")
            elif len(values) != self.num_labels:
                wrong.append(
                    f"{name} has {len(values)} numbers, expected {self.num_labels}, one for each class or label"
                )
        if wrong:
            raise ValueError(f"impossible head: {'; '.join(wrong)}")

    def __call__(self, hidden: mx.array, tokens: Tokens | mx.array | None = None) -> mx.array:
        """Logits of each row, in f32 whatever the precision of the encoder.

        Args:
            hidden: [B, T, H] or [N, H], as `tokens` says.
            tokens: the layout, and numeric features where the head was made for them; or a plain attention mask [B, T],
                1 or true on real tokens; None: all are real.

        Raises:
            ValueError: shapes that do not fit.
        """
        hidden, tokens = self.lay_out(hidden, tokens)
        return self.answer(self.embed(hidden, tokens))

    def embed(self, hidden: mx.array, tokens: Tokens) -> mx.array:
        """One vector per row, numeric features included: [B, T, H] or [N, H] to [B, H]."""
        return self.join(self.pool(hidden, tokens), tokens)

    def answer(self, pooled: mx.array) -> mx.array:
        """Logits of the vectors that `embed` made: [B, H] to [B, L], or [B] when there is one per row."""
        return self.forward(self.transform(pooled))

    def lay_out(self, hidden: Any, tokens: Any) -> tuple[mx.array, Tokens]:
        """Tokens as they are; plain arrays as padded rows.

        Raises:
            ValueError: shapes that do not fit.
        """
        if isinstance(tokens, Tokens):
            return hidden, tokens
        hidden, mask = as_array(hidden), as_array(tokens)
        size = self.config.hidden_size
        if hidden.ndim != 3 or hidden.shape[-1] != size:
            hint = "; for one row pass hidden[None]" if hidden.ndim == 2 else ""
            raise ValueError(
                f"hidden has shape {list(hidden.shape)}, expected [B, T, {size}], the encoder's vector of each token{hint}"
            )
        if mask is not None and mask.shape != hidden.shape[:2]:
            raise ValueError(
                f"the attention mask has shape {list(mask.shape)}, expected that of the tokens, {list(hidden.shape[:2])}"
            )
        return hidden, Tokens(mx.zeros(hidden.shape[:2], dtype=mx.int32), mask)

    def join(self, pooled: mx.array, tokens: Tokens) -> mx.array:
        """Add what the numeric features say: [B, H] to [B, H].

        Raises:
            ValueError: the batch has other numbers than the head was made for.
        """
        check_numeric_features(tokens, self.config.num_numbers)
        return pooled if tokens.numbers is None else self.numbers(pooled, tokens.numbers)

    def pool(self, hidden: mx.array, tokens: Tokens) -> mx.array:
        """One vector per row, [B, H]."""
        if self.config.pooling == "attention":
            return pool_attention(hidden, tokens, self.attention_pooler.weight[0])
        return look_up(POOLINGS, str(self.config.pooling), "pooling")(hidden, tokens)

    def transform(self, pooled: mx.array) -> mx.array:
        """What stands between pooling and classifier, dropout last: [B, H] to [B, H]."""
        rate = (self.config.hidden_dropout_prob if self.training else None) or 0.0
        if self.config.transform == "dropout_tanh":
            pooled = kernels.dropout(pooled, rate)
        if self.config.transform in ("tanh", "dropout_tanh"):
            pooled = mx.tanh(self.dense(pooled))
        elif self.config.transform == "gelu_norm":
            pooled = self.norm(self.dense(pooled, "gelu"))
        return kernels.dropout(pooled, rate)

    def forward(self, pooled: mx.array) -> mx.array:
        """Logits [B, L], or [B] when there is one per row."""
        logits = self.classifier(pooled)
        return logits[:, 0] if self.output_size == 1 and not self.has_many_labels else logits

    def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
        """The loss of each row, [B] in f32, before class weights."""
        raise NotImplementedError

    def loss(self, logits: mx.array, labels: mx.array, weights: mx.array | None = None) -> mx.array:
        """The mean loss of the rows, a scalar in f32.

        With class weights each row's loss is multiplied by the weight of its class; the mean still divides by the rows, so
        that a batch and its halves agree.

        Args:
            logits: what the head returned.
            labels: [B], or [B, L] for several labels or steps; see `row_losses`.
            weights: [B], how much each row counts; None: all the same.

        Raises:
            ValueError: labels have another shape.
        """
        expected = list(logits.shape if self.has_many_labels else logits.shape[:1])
        if list(labels.shape) != expected:
            hint = "; pass labels.squeeze(1)" if list(labels.shape) == [*expected, 1] else ""
            raise ValueError(f"labels has shape {list(labels.shape)}, expected {expected}{hint}")
        losses = self.row_losses(logits, labels)
        if self.config.class_weights is not None:
            losses = losses * mx.array(self.config.class_weights)[labels.astype(mx.int32)]
        if weights is None:
            return losses.mean()
        return (losses * weights).sum() / mx.maximum(weights.sum(), 1e-12)

    def divergence(self, logits: mx.array, others: mx.array) -> mx.array:
        """How much two answers to the same rows differ, [B] in f32: here the mean squared difference of the numbers."""
        squares = mx.square(logits.astype(mx.float32) - others.astype(mx.float32))
        return squares.reshape(squares.shape[0], -1).mean(axis=-1)

    def check_labels(self, labels: np.ndarray[Any, Any]) -> None:
        """Check a table's labels before training: a class number out of range would not be noticed later.

        Args:
            labels: [R], or [R, L] for several labels or steps.

        Raises:
            ValueError: wrong shape, values that are no finite numbers, or class numbers out of range.
        """
        labels = np.asarray(labels)
        shape = ["R", self.num_labels] if self.has_many_labels else ["R"]
        if list(labels.shape) != [len(labels), *shape[1:]]:
            raise ValueError(
                f"labels of a {self.head_type} head have shape {list(labels.shape)}, expected "
                f"[{', '.join(map(str, shape))}], R rows"
            )
        if not np.isfinite(labels).all():
            raise ValueError("some labels are no finite numbers; remove those rows")
        if self.problem_type == "regression":
            return
        num_classes = 2 if self.has_many_labels else self.num_labels
        wrong = np.setdiff1d(labels, np.arange(num_classes))
        if len(wrong):
            raise ValueError(
                f"labels of a {self.head_type} head are integers from 0 to {num_classes - 1}, but some are "
                f"{shorten(f'{value:g}' for value in wrong)}; number the classes from 0, or give num_labels"
            )

    def predict(self, logits: mx.array) -> mx.array:
        """The answer: probabilities of classes, or values."""
        raise NotImplementedError


def as_array(value: Any) -> Any:
    """Lists, numpy arrays and tensors as MLX arrays; an array of MLX and None as they are.

    Raises:
        TypeError: the value is no array.
    """
    if value is None or isinstance(value, mx.array):
        return value
    try:
        values = np.asarray(value)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"it holds {values.dtype.name}, no numbers")
        return mx.array(values.astype(np.int32) if values.dtype == np.int64 else values)
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"got a {type(value).__name__}, expected Tokens or an array of equally long rows ({error})"
        ) from error
