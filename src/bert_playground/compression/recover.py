"""recover: a student learns from its teacher, over the one trainer."""

from dataclasses import dataclass, replace
from typing import Self

import mlx.core as mx
import polars as pl

from bert_playground.compression.student import (
    LESSON,
    LESSON_OF_OTHER,
    Lesson,
    Student,
    match_layers,
    set_targets,
)
from bert_playground.compression.swap_noise import count_copies
from bert_playground.compression.teacher import Teaching
from bert_playground.data.pipeline import TextPipeline
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.training.core import Callback, Loop, Trainer
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.schedule import WARMUP_RATIO, Schedule, linear
from bert_playground.training.core.step import is_compilation_worthwhile

BATCH_SIZE = 32
EPOCHS, RATE = 3, 1e-4
EPOCHS_OF_RANDOM, RATE_OF_RANDOM = 8, 1e-3  # another teacher, and an encoder from random weights


@dataclass(frozen=True)
class Recovery:
    """How a student learns.

    Attributes:
        epochs: over the training rows; None: as usual.
        learning_rate: the highest, of AdamW; None: as usual.
        lesson: how much labels, answers and vectors count; None: as usual.
        copies: of each training row, with swap noise, which the teacher answers too; None: as usual.
        seed: of the order of rows, of dropout and of swap noise.
    """

    epochs: int | None = None
    learning_rate: float | None = None
    lesson: Lesson | None = None
    copies: int | None = None
    seed: int = 0

    def filled(self, *, has_other_teacher: bool, is_from_random: bool, num_rows: int) -> Self:
        """The same with what is usual in place of what is open.

        Args:
            has_other_teacher: whether answers are learned that the full model does not give.
            is_from_random: whether the full model was trained from random weights, which want a higher rate.
            num_rows: to learn from.

        Raises:
            ValueError: copies are asked for that no other teacher answers.
        """
        if self.copies and not has_other_teacher:
            raise ValueError(
                f"{self.copies} copies of each row with swap noise have no labels, so they want a teacher beside the full "
                "model: give one with --teacher, or leave --copies out"
            )
        far = has_other_teacher and is_from_random
        epochs, rate = (EPOCHS_OF_RANDOM, RATE_OF_RANDOM) if far else (EPOCHS, RATE)
        copies = count_copies(num_rows) if has_other_teacher else 0
        return replace(
            self,
            epochs=epochs if self.epochs is None else self.epochs,
            learning_rate=rate if self.learning_rate is None else self.learning_rate,
            lesson=self.lesson or (LESSON_OF_OTHER if has_other_teacher else LESSON),
            copies=copies if self.copies is None else self.copies,
        )


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
        recovery: how long and how fast, with nothing open.
        callbacks: told what happens.

    Raises:
        DivergenceError: a loss or a gradient was not finite.
        KeyboardInterrupt: Ctrl-C, after the current step.
    """
    assert recovery.epochs is not None
    assert recovery.learning_rate is not None
    assert recovery.lesson is not None
    mx.random.seed(recovery.seed)
    loader = pipeline.of_training_rows.make_loader(
        frame, batch_size=BATCH_SIZE, shuffle=True, seed=recovery.seed
    )
    matches = match_layers(kept, teaching.watched) if teaching.watched else {}
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
