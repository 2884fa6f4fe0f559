"""Student: a smaller model while it learns from labels, a teacher's answers, and the vectors of the full encoder."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground.compression.teacher import Teaching, encode_watched
from bert_playground.data.loaders import MLXLoader
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.heads import BaseHead
from bert_playground.models.heads.pooling import pool_mean
from bert_playground.tasks import TASKS
from bert_playground.tokens import Tokens

Array = np.ndarray[Any, Any]
TINY = 1e-6


@dataclass(frozen=True)
class Lesson:
    """How much each part of what is taught counts.

    Attributes:
        labels: weight of the loss of the head on the labels.
        answers: weight of the divergence from the teacher's answers.
        vectors: weight of the distance from the full encoder's vectors.
        temperature: logits of classes are divided by it before answers are compared, which shows more of what the
            teacher thinks of the other classes (Hinton et al. 2015, arXiv 1503.02531).
    """

    labels: float = 0.5
    answers: float = 0.5
    vectors: float = 1.0
    temperature: float = 2.0


LESSON = Lesson()
# Labels are in the answers of another teacher already, and learned by heart where they are given again; the vectors are
# those of a model that answers otherwise.
LESSON_OF_OTHER = Lesson(labels=0.0, answers=1.0, vectors=0.0)


class Taught(NamedTuple):
    """What a student gives in training."""

    logits: mx.array
    vectors: mx.array | None  # [B, M, H]; None: none are taught


class Targets(NamedTuple):
    """How what is taught lies in a row: labels, logits, then vectors."""

    num_labels: int  # 0: one, without an axis of its own
    num_logits: int


class DistillationHead(nn.Module):
    """A head whose loss in training has the teacher in it; in evaluation it is the head itself."""

    def __init__(self, head: BaseHead, targets: Targets, lesson: Lesson) -> None:
        super().__init__()
        self.head = head
        self._targets = targets
        self._lesson = lesson

    def predict(self, logits: mx.array) -> mx.array:
        """The answers of the head."""
        return self.head.predict(logits)

    def loss(self, output: Taught | mx.array, labels: mx.array) -> mx.array:
        """The loss of labels in evaluation; of a row of targets in training.

        Vectors are compared by their direction: the squared distance of unit vectors, as of layers (Sun et al. 2019,
        arXiv 1908.09355).
        """
        if not isinstance(output, Taught):
            return self.head.loss(output, labels)
        truth, logits, rest = self._unpack(labels)
        lesson = self._lesson
        loss = lesson.labels * self.head.loss(output.logits, truth)
        heat = lesson.temperature if TASKS[self.head.task].is_classification else 1.0
        divergence = self.head.divergence(output.logits / heat, logits / heat).mean()
        loss = loss + lesson.answers * heat**2 * divergence
        if output.vectors is not None:
            vectors = rest.reshape(output.vectors.shape)
            loss = loss + lesson.vectors * _distance(output.vectors, vectors)
        return loss

    def _unpack(self, labels: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        sizes = self._targets
        start = max(1, sizes.num_labels)
        end = start + max(1, sizes.num_logits)
        truth = labels[:, :start] if sizes.num_labels else labels[:, 0]
        if TASKS[self.head.task].is_classification and not self.head.has_many_labels:
            truth = truth.astype(mx.int32)
        logits = labels[:, start:end] if sizes.num_logits else labels[:, start]
        return truth, logits, labels[:, end:]


def _distance(vectors: mx.array, others: mx.array) -> mx.array:
    """The mean squared distance of unit vectors, [B, M, H] twice to a scalar."""
    return mx.square(_unit(vectors) - _unit(others)).sum(axis=-1).mean()


def _unit(vectors: mx.array) -> mx.array:
    return vectors / mx.maximum(mx.linalg.norm(vectors, axis=-1, keepdims=True), TINY)


class Student(BertWithHead):
    """A smaller model, as the trainer sees it: it gives vectors too, and its head knows the teacher.

    Args:
        model: whose encoder and head learn; they are shared, not copied.
        matches: layer of the student → place in the teaching's vectors.
        targets: how targets lie in a row.
        lesson: how much what counts.
    """

    head: Any  # a DistillationHead, which is no BaseHead: its labels are targets, and are not checked as labels

    def __init__(
        self,
        model: BertWithHead,
        matches: dict[int, int],
        targets: Targets,
        lesson: Lesson = LESSON,
    ) -> None:
        nn.Module.__init__(self)
        self.encoder = model.encoder
        self.head = DistillationHead(model.head, targets, lesson)
        self._matches = tuple(matches)

    def __call__(
        self,
        tokens: Tokens | mx.array,
        attention_mask: mx.array | None = None,
        token_type_ids: mx.array | None = None,
    ) -> Any:
        """Logits in evaluation, with the vectors of matched layers in training."""
        assert isinstance(tokens, Tokens)
        head: BaseHead = self.head.head
        if not self.training:
            return head(self.encoder.encode(tokens), self.left_to_head(tokens))
        hidden, outputs = encode_watched(self, tokens)
        logits = head(hidden, self.left_to_head(tokens))
        if not self._matches:
            return Taught(logits, None)
        vectors = [pool_mean(outputs[layer], tokens) for layer in self._matches]
        return Taught(logits, mx.stack(vectors, axis=1))


def match_layers(kept: list[int], watched: tuple[int, ...]) -> dict[int, int]:
    """Which vectors of the teaching each layer of a student is to have.

    A layer takes the place of those above it that are gone: it is to put out what the next kept one has read.

    Args:
        kept: layers of the full encoder, ascending.
        watched: layers of the full encoder whose vectors are known, ascending.

    Returns:
        Layer of the student → place in `watched`.
    """
    ends = [*(layer - 1 for layer in kept[1:]), watched[-1]]
    places = {layer: place for place, layer in enumerate(watched)}
    return {layer: places[end] for layer, end in enumerate(ends) if end in places}


def set_targets(loader: MLXLoader, teaching: Teaching, matches: dict[int, int]) -> Targets:
    """Give a loader's rows their targets in place of labels, and say how they lie."""
    labels, logits = loader.table.labels, teaching.logits
    assert labels is not None
    vectors = teaching.vectors[:, list(matches.values())].astype(np.float32)
    num_rows = len(labels)
    parts = [part.reshape(num_rows, -1) for part in (labels, logits, vectors)]
    loader.table = loader.table._replace(labels=np.concatenate(parts, axis=1).astype(np.float32))
    return Targets(
        0 if labels.ndim == 1 else labels.shape[1],
        0 if logits.ndim == 1 else logits.shape[1],
    )
