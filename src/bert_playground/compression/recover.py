"""recover: a student learns from its teacher, over the one trainer."""

import math
from dataclasses import dataclass

import mlx.core as mx
import polars as pl

from bert_playground.compression.student import LESSON, Lesson, Student, match_layers, set_targets
from bert_playground.compression.teacher import Teaching
from bert_playground.data.pipeline import TextPipeline
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.training.core import Callback, Loop, Trainer
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.schedule import WARMUP_RATIO, Schedule, linear
from bert_playground.training.core.step import is_compilation_worthwhile

BATCH_SIZE = 32


@dataclass(frozen=True)
class Recovery:
    """How a student learns.

    Attributes:
        epochs: over the training rows.
        learning_rate: the highest, of AdamW.
        lesson: how much labels, answers and vectors count.
        seed: of the order of rows and of dropout.
    """

    epochs: int = 3
    learning_rate: float = 1e-4
    lesson: Lesson = LESSON
    seed: int = 0

    def steps(self, num_rows: int) -> int:
        """Updates in all."""
        return self.epochs * math.ceil(num_rows / BATCH_SIZE)


def recover(
    model: BertWithHead,
    pipeline: TextPipeline,
    frame: pl.DataFrame,
    teaching: Teaching,
    kept: list[int],
    recovery: Recovery,
    callbacks: tuple[Callback, ...] = (),
) -> None:
    """Train a smaller model in place.

    Args:
        model: with what it has kept of the full one.
        pipeline: reads the rows for it.
        frame: the training rows.
        teaching: of these rows, in their order.
        kept: its layers in the full encoder.
        recovery: how long and how fast.
        callbacks: told what happens.

    Raises:
        DivergenceError: a loss or a gradient was not finite.
        KeyboardInterrupt: Ctrl-C, after the current step.
    """
    mx.random.seed(recovery.seed)
    loader = pipeline.of_training_rows.make_loader(
        frame, batch_size=BATCH_SIZE, shuffle=True, seed=recovery.seed
    )
    matches = match_layers(kept, teaching.watched)
    targets = set_targets(loader, teaching, matches)
    student = Student(model, matches, targets, recovery.lesson)
    trainer = Trainer(
        student,
        AdamW(),
        Schedule(linear, recovery.learning_rate, warmup_ratio=WARMUP_RATIO),
        Loop(epochs=recovery.epochs, use_compilation=is_compilation_worthwhile()),
        lambda labels, scores: {},
        callbacks,
    )
    trainer.train(loader)
    model.eval()
