"""Recipe: learning rate, epochs, patience and averaging of weights where the user leaves them open."""

import math
from dataclasses import dataclass

EMA_DECAY = 0.99  # remembers about the last hundred steps


# What the rates of a recipe, which are AdamW's, are multiplied with for others. Lion moves every value by the whole rate
# (3 to 10 times lower, Chen et al. 2023); plain gradients are not normalised.
RATE_FACTORS = {"lion": 0.2, "sgd": 100.0}


@dataclass(frozen=True)
class Recipe:
    """Values for one kind of run; see docs/log.md for the figures behind them."""

    learning_rate: float
    epochs: int
    patience: int
    ema_decay: float = 0.0


def choose_recipe(
    *,
    is_pretrained: bool,
    has_adapters: bool,
    is_classification: bool,
    num_rows: int,
    batch_size: int,
    hidden_size: int = 256,
    has_own_vocabulary: bool = False,
) -> Recipe:
    """What worked, over several tables and seeds.

    Random weights want a high rate, the higher the narrower the encoder, many passes, and their moving average; a
    checkpoint wants a low rate and few passes, adapters a high rate again because their product starts at zero. Small
    tables need more passes: epochs are chosen for a number of steps.

    Args:
        is_pretrained: whether the encoder starts from a checkpoint.
        has_adapters: whether only LoRA adapters and the head are trained.
        is_classification: classification overfits in fewer epochs than regression.
        num_rows: of the training split.
        batch_size: rows per optimizer step, accumulation included.
        hidden_size: of the encoder.
        has_own_vocabulary: whether the checkpoint's vocabulary was trained on such tables, as `bert pretrain` does: a small
            encoder, for which the rate of a large one is far too low.
    """
    steps_per_epoch = math.ceil(num_rows / batch_size)
    if has_adapters:
        return Recipe(
            learning_rate=1e-3, epochs=_between(1500 / steps_per_epoch, 3, 15), patience=5
        )
    if is_pretrained and not has_own_vocabulary:
        return Recipe(learning_rate=5e-5, epochs=_between(500 / steps_per_epoch, 3, 6), patience=3)
    most = 16 if is_classification else 20
    if is_pretrained and steps_per_epoch < 16:
        most = 20  # 8 of 13 steps were far too few: docs/guides/pretrain.md
    rate = 5e-4 * math.sqrt(256 / hidden_size) * (0.4 if is_pretrained else 1.0)
    epochs = _between(6000 / steps_per_epoch, 4, most)
    return Recipe(learning_rate=rate, epochs=epochs, patience=4, ema_decay=EMA_DECAY)


def as_before_averaging(
    recipe: Recipe, *, is_pretrained: bool, is_classification: bool, steps_per_epoch: int
) -> Recipe:
    """The recipe of the same kind of run before weights were averaged, by which runs of that time are resumed."""
    if not recipe.ema_decay:
        return recipe
    epochs = _between(2000 / steps_per_epoch, 3, 8 if is_classification else 20)
    return Recipe(2e-4 if is_pretrained else 5e-4, epochs, patience=4)


def choose_pretraining_recipe(*, is_pretrained: bool, num_rows: int, batch_size: int) -> Recipe:
    """As above, for hidden words: many passes, since each one hides other words, and no early stop.

    Args:
        is_pretrained: whether the encoder starts from a checkpoint.
        num_rows: that are learned from.
        batch_size: rows per optimizer step, accumulation included.
    """
    steps_per_epoch = math.ceil(num_rows / batch_size)
    if is_pretrained:
        return Recipe(
            learning_rate=1e-4, epochs=_between(2000 / steps_per_epoch, 3, 20), patience=0
        )
    return Recipe(learning_rate=1e-3, epochs=_between(6000 / steps_per_epoch, 5, 60), patience=0)


def _between(value: float, lowest: int, highest: int) -> int:
    return min(highest, max(lowest, round(value)))
