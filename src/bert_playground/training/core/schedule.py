"""SCHEDULES: how the learning rate falls, by the names that transformers and torch use; Schedule: warm-up and fall together."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

Share = Callable[[float], float]  # from a part of the way, 0 to 1, to a part of the peak

WARMUP_RATIO = 0.06
ONE_CYCLE_WARMUP_RATIO = 0.3  # pct_start of torch's OneCycleLR
ONE_CYCLE_FIRST, ONE_CYCLE_LAST = 1 / 25, 1 / 25e4  # 1 / div_factor; that / final_div_factor


def constant(progress: float) -> float:
    """The same rate after warm-up."""
    return 1.0


def linear(progress: float) -> float:
    """A straight line from 1 to 0."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Half a cosine wave from 1 to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def polynomial(progress: float, power: float = 2.0) -> float:
    """(1 - progress)^power; a power of 1 is a line."""
    return float((1.0 - progress) ** power)


def cosine_with_restarts(progress: float, num_cycles: int = 2) -> float:
    """So many half cosine waves, each of which begins at 1 again (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    return 0.0 if progress >= 1.0 else cosine(progress * num_cycles % 1.0)


def one_cycle(progress: float) -> float:
    """Half a cosine wave down to 1/250,000; the rise before it is one too, from 1/25 (Smith and Topin 2018, arXiv 1708.07120)."""
    return ONE_CYCLE_LAST + (1.0 - ONE_CYCLE_LAST) * cosine(progress)


def warmup_stable_decay(progress: float, decay_ratio: float = 0.2) -> float:
    """1, and over the last `decay_ratio` of the way half a cosine wave to 0 (Hu et al. 2024, arXiv 2404.06395)."""
    stable = 1.0 - decay_ratio
    return 1.0 if progress <= stable else cosine((progress - stable) / decay_ratio)


# The part of the peak rate that is left after this part, 0 to 1, of the steps that follow warm-up. Further parameters of a
# function are its settings; scheduler.* of the same name reaches them.
SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "polynomial": polynomial,
    "cosine_with_restarts": cosine_with_restarts,
    "one_cycle": one_cycle,
    "warmup_stable_decay": warmup_stable_decay,
}


def schedule_options(decay: Callable[..., float]) -> set[str]:
    """The settings that an entry of SCHEDULES has."""
    return set(inspect.signature(decay).parameters) - {"progress"}


def rise_linearly(part: float) -> float:
    """A straight line from 0 to 1."""
    return part


def rise_of_one_cycle(part: float) -> float:
    """Half a cosine wave from 1/25 to 1."""
    return ONE_CYCLE_FIRST + (1.0 - ONE_CYCLE_FIRST) * (1.0 - cosine(part))


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the step alone, so a resumed run continues it exactly.

    Attributes:
        decay: an entry of SCHEDULES, with its settings bound.
        peak: the highest rate, reached at the end of warm-up.
        warmup_steps: the rate grows over this many steps; None: `warmup_ratio` of all steps.
        warmup_ratio: a part of all steps, 0 to 1.
        rise: how it grows.
        min_lr_ratio: the part of the peak that it falls to.
    """

    decay: Share
    peak: float
    warmup_steps: int | None = None
    warmup_ratio: float = 0.0
    rise: Share = rise_linearly
    min_lr_ratio: float = 0.0

    def rate(self, step: int, total_steps: int) -> float:
        """The rate of the step that follows `step` steps; above 0 from the first to the last of `total_steps`."""
        warmup = self.warmup_steps
        if warmup is None:
            warmup = math.ceil(self.warmup_ratio * total_steps)
        warmup = min(warmup, total_steps)
        if step < warmup:
            if self.rise is rise_linearly:  # as first written, to the last bit
                return self.peak * (step + 1) / warmup
            return self.peak * self.rise((step + 1) / warmup)
        share = self.decay(min(1.0, (step - warmup) / max(1, total_steps - warmup)))
        return self.peak * (self.min_lr_ratio + (1.0 - self.min_lr_ratio) * share)
