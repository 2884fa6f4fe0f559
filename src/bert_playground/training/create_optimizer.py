"""create_optimizer, create_schedule, create_regularization, freeze: what the configuration says of how weights change."""

from functools import partial
from typing import Literal

from bert_playground.config.schema import OptimizerSection, SchedulerSection, TrainingSection
from bert_playground.inference import Model
from bert_playground.lookup import count_of, look_up
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.training.core.depth import head_depth_of
from bert_playground.training.core.freezing import freeze_below, freeze_encoder
from bert_playground.training.core.optimizer import Optimizer
from bert_playground.training.core.optimizers import OPTIMIZERS, GroupedOptimizer, optimizer_options
from bert_playground.training.core.regularization import Regularization
from bert_playground.training.core.schedule import (
    ONE_CYCLE_WARMUP_RATIO,
    SCHEDULES,
    WARMUP_RATIO,
    Schedule,
    rise_linearly,
    rise_of_one_cycle,
    schedule_options,
)
from bert_playground.training.recipe import RATE_FACTORS, Recipe


def freeze(model: BertWithHead, asked: Literal["embeddings", "encoder"] | int | None) -> None:
    """Freeze what `training.freeze` names.

    Raises:
        ValueError: the encoder has fewer layers.
    """
    if asked is None:
        return
    head_depth = head_depth_of(model)
    if isinstance(asked, int) and asked >= head_depth:
        raise ValueError(
            f"training.freeze is {asked}, but the encoder has {count_of(head_depth - 1, 'layer')}; give fewer, or "
            "`encoder` for all of it"
        )
    if asked == "encoder":
        freeze_encoder(model)
    else:
        freeze_below(model, 1 if asked == "embeddings" else asked + 1)


def create_optimizer(
    asked: OptimizerSection, model: Model, *, is_gradual: bool = False
) -> Optimizer:
    """The optimizer that is asked for, with the settings that it has; layer by layer where layers differ.

    Raises:
        ValueError: settings that contradict each other.
    """
    kind = look_up(OPTIMIZERS, asked.type, "optimizer")
    given = asked.model_dump()
    optimizer = kind(
        **{name: given[name] for name in optimizer_options(kind) if given.get(name) is not None}
    )
    if asked.layer_decay == 1.0 and not is_gradual:
        return optimizer
    depth = head_depth_of(model)
    return GroupedOptimizer(optimizer, depth, asked.layer_decay, counts_steps=is_gradual)


def choose_rate(asked: OptimizerSection, recipe: Recipe) -> float:
    """The peak learning rate: what was asked for, else the recipe's for this optimizer."""
    return asked.learning_rate or recipe.learning_rate * RATE_FACTORS.get(asked.type, 1.0)


def create_schedule(asked: SchedulerSection, peak: float) -> Schedule:
    """The schedule that is asked for, with the settings that it has; `peak` is the highest rate."""
    decay = look_up(SCHEDULES, asked.type, "schedule")
    ratio, rise = WARMUP_RATIO, rise_linearly
    if asked.type == "one_cycle":
        ratio, rise = ONE_CYCLE_WARMUP_RATIO, rise_of_one_cycle
    options = {name: getattr(asked, name) for name in sorted(schedule_options(decay))}
    return Schedule(
        decay=partial(decay, **options),
        peak=peak,
        warmup_steps=asked.warmup_steps,
        warmup_ratio=ratio if asked.warmup_ratio is None else asked.warmup_ratio,
        rise=rise,
        min_lr_ratio=asked.min_lr_ratio,
    )


def create_regularization(asked: TrainingSection) -> Regularization:
    """What is asked of each step beside the loss of the head."""
    return Regularization(asked.r_drop, asked.mixup, asked.adversarial, asked.adversarial_epsilon)
