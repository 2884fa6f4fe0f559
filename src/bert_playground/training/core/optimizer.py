"""Optimizer: what every optimizer can do; which parameters decay, the norm of gradients, trees by name."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from bert_playground import optimizer_kernels

Tree = dict[str, Any]  # nested dicts and lists of arrays, as `Module.parameters()` gives them
Moments = dict[str, Tree]
Leaves = dict[str, mx.array]  # the same by dotted name


class Optimizer(Protocol):
    """From parameters, gradients and state to parameters and state; the optimizer itself never changes.

    Its state is named trees of f32 arrays, any number of them, each with all parameters or with some. Resumable checkpoints
    store them as they are.
    """

    def create_moments(self, parameters: Tree) -> Moments:
        """The state before the first step."""

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

    def describe(self, parameters: Tree) -> str:
        """What it does with which parameters, in one sentence."""


def is_decayed(parameter: mx.array) -> bool:
    """Matrices decay; vectors do not: norm weights and biases are all one-dimensional."""
    return parameter.ndim >= 2


def gradient_norm(gradients: Tree) -> mx.array:
    """The Euclidean norm over all gradients, an f32 scalar."""
    return mx.sqrt(optimizer_kernels.square_sum(list(flatten(gradients).values())))


def flatten(tree: Tree) -> Leaves:
    """Dotted name → array, in the order of the tree."""
    return cast("Leaves", dict(tree_flatten(tree)))


def unflatten(leaves: Mapping[str, mx.array]) -> Tree:
    """Undo `flatten`, but for empty branches."""
    return cast("Tree", dict(tree_unflatten(list(leaves.items()))) if leaves else {})


def create_zeros(parameters: Mapping[str, mx.array]) -> Tree:
    """A tree of f32 zeros, one array for each parameter."""
    return unflatten({name: mx.zeros(p.shape, dtype=mx.float32) for name, p in parameters.items()})


def scaled(gradients: Tree, scale: mx.array) -> Leaves:
    """Dotted name → f32 gradient times the scale."""
    return {name: g.astype(mx.float32) * scale for name, g in flatten(gradients).items()}


def describe_decay(weight_decay: float, parameters: Iterable[mx.array]) -> str:
    """Which parameters decay, as the end of a sentence."""
    if not weight_decay:
        return "no weight decay"
    leaves = list(parameters)
    decayed = [parameter for parameter in leaves if is_decayed(parameter)]
    count = sum(parameter.size for parameter in decayed)
    return (
        f"weight decay {weight_decay:g} on {len(decayed)} matrices ({count:,} values), "
        f"none on {len(leaves) - len(decayed)} vectors (norms and biases)"
    )
