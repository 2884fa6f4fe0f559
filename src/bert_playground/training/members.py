"""fit_members: one model for each of a list of variations: ensembles, seeds and folds alike."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bert_playground.logger import logger
from bert_playground.models.ensemble import Variation
from bert_playground.training.callbacks.progress import show_fits

T = TypeVar("T")


def fit_members(
    variations: Sequence[Variation],
    fit_member: Callable[[int, Variation], T],
    *,
    seed: int,
    on_fitted: Callable[[Sequence[T]], None] | None = None,
) -> list[T]:
    """Fit one member for each variation, one after another.

    Args:
        variations: what each member has of its own.
        fit_member: from the number of a member, from 0 on, and its variation to what was fitted.
        seed: of the configuration; each member counts on from it.
        on_fitted: called with the members that are complete, after each one.

    Raises:
        KeyboardInterrupt: Ctrl-C; a note says how many members are complete.
    """
    members: list[T] = []
    try:
        with show_fits(len(variations)) as tell:
            for number, variation in enumerate(variations):
                what = describe_variation(variation, seed)
                logger.info(f"member {number + 1} of {len(variations)}: {what}")
                members.append(fit_member(number, variation))
                tell(f"member {number + 1} of {len(variations)} is complete: {what}")
                if on_fitted is not None:
                    on_fitted(members)
    except KeyboardInterrupt as interrupt:
        if members:
            interrupt.add_note(f"{len(members)} of {len(variations)} members are complete")
        raise
    return members


def describe_variation(variation: Variation, seed: int) -> str:
    """What is particular to a member, in words; `seed` is that of the configuration."""
    parts = [f"seed {seed + variation.seed_offset}"]
    if variation.architecture is not None:
        parts.append(variation.architecture)
    if variation.pooling is not None:
        parts.append(f"{variation.pooling} pooling")
    if variation.sample_fraction is not None:
        parts.append(f"{variation.sample_fraction:.0%} of the rows")
    if variation.fold is not None:
        parts.append(f"fold {variation.fold}")
    return ", ".join(parts)
