"""OPTIMIZERS, SCHEDULES, weight-decay groups."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from bert_playground import optimizer_kernels

Tree = dict[str, Any]  # nested dicts and lists of arrays, as `Module.parameters()` gives them
Moments = dict[str, Tree]


def constant(progress: float) -> float:
    """The same rate after warm-up."""
    return 1.0


def linear(progress: float) -> float:
    """A straight line from 1 to 0."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Half a cosine wave from 1 to 0 (Loshchilov and Hutter 2017, arXiv 1608.03983)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


# The part of the peak rate that is left after this part, 0 to 1, of the steps that follow warm-up.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
}


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the step alone, so a resumed run continues it exactly.

    Attributes:
        decay: an entry of SCHEDULES.
        peak: the highest rate, reached at the end of warm-up.
        warmup_steps: the rate grows in a line over this many steps; None: `warmup_ratio` of all steps.
    """

    decay: Callable[[float], float]
    peak: float
    warmup_steps: int | None = None
    warmup_ratio: float = 0.0

    def rate(self, step: int, total_steps: int) -> float:
        """The rate of the step that follows `step` steps; above 0 from the first to the last of `total_steps`."""
        warmup = self.warmup_steps
        if warmup is None:
            warmup = math.ceil(self.warmup_ratio * total_steps)
        warmup = min(warmup, total_steps)
        if step < warmup:
            return self.peak * (step + 1) / warmup
        return self.peak * self.decay(min(1.0, (step - warmup) / max(1, total_steps - warmup)))


@dataclass(frozen=True)
class AdamW:
    """AdamW without decay on vectors; state is two plain trees of f32 arrays, {"m": ..., "v": ...}.

    Reference: Loshchilov and Hutter 2019, arXiv 1711.05101.
    """

    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros for each parameter."""
        return {
            name: tree_map(lambda p: mx.zeros(p.shape, dtype=mx.float32), parameters)
            for name in ("m", "v")
        }

    def update(
        self,
        parameters: Tree,
        gradients: Tree,
        moments: Moments,
        *,
        learning_rate: mx.array,
        step: mx.array,
        gradient_scale: mx.array,
    ) -> tuple[Tree, Moments]:
        """One step.

        Args:
            parameters: what is trained.
            gradients: of the same structure.
            moments: from `create_moments` or the step before.
            learning_rate: f32 scalar.
            step: f32 scalar, from 1.
            gradient_scale: f32 scalar that every gradient is multiplied with: clipping and averaging in one.
        """
        old, gradient_of = flatten(parameters), flatten(gradients)
        m, v = flatten(moments["m"]), flatten(moments["v"])
        updated = optimizer_kernels.adamw(
            list(old.values()),
            [gradient_of[name] for name in old],
            [m[name] for name in old],
            [v[name] for name in old],
            learning_rate=learning_rate,
            step=step,
            gradient_scale=gradient_scale,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=[self.weight_decay if is_decayed(p) else 0.0 for p in old.values()],
        )
        trees = [dict(tree_unflatten(list(zip(old, new, strict=True)))) for new in updated]
        return trees[0], {"m": trees[1], "v": trees[2]}

    def describe(self, parameters: Tree) -> str:
        """Which parameters decay, in one sentence."""
        leaves = list(flatten(parameters).values())
        decayed = [parameter for parameter in leaves if is_decayed(parameter)]
        count = sum(parameter.size for parameter in decayed)
        return (
            f"AdamW: weight decay {self.weight_decay:g} on {len(decayed)} matrices ({count:,} values), "
            f"none on {len(leaves) - len(decayed)} vectors (norms and biases)"
        )


OPTIMIZERS = {"adamw": AdamW}


def is_decayed(parameter: mx.array) -> bool:
    """Matrices decay; vectors do not: norm weights and biases are all one-dimensional."""
    return parameter.ndim >= 2


def gradient_norm(gradients: Tree) -> mx.array:
    """The Euclidean norm over all gradients, an f32 scalar."""
    return mx.sqrt(optimizer_kernels.square_sum(list(flatten(gradients).values())))


def flatten(tree: Tree) -> dict[str, mx.array]:
    """Dotted name → array, in the order of the tree."""
    return cast("dict[str, mx.array]", dict(tree_flatten(tree)))
