"""GroupedOptimizer: layer by layer, each at its own share of the rate and with steps counted since it is trained."""

from dataclasses import dataclass

import mlx.core as mx

from bert_playground.training.core.depth import depth_of
from bert_playground.training.core.optimizer import (
    Leaves,
    Moments,
    Optimizer,
    Tree,
    flatten,
    unflatten,
)

STEPS = "steps"  # the tree of step counts, by group


@dataclass(frozen=True)
class GroupedOptimizer:
    """Another optimizer, applied to each layer by itself.

    A layer of depth d below the head's D learns at decay^(D - d) of the rate (layer-wise learning-rate decay). Where
    layers are unfrozen one after another, each counts its own steps, so that its bias correction begins when it does;
    the state then has one tree more.

    Attributes:
        optimizer: the other one.
        head_depth: D, that of the head: the number of layers + 1.
        layer_decay: above 0, at most 1.
        counts_steps: whether layers begin at different steps.

    Reference: Howard and Ruder 2018, arXiv 1801.06146; Clark et al. 2020, arXiv 2003.10555.
    """

    optimizer: Optimizer
    head_depth: int
    layer_decay: float = 1.0
    counts_steps: bool = False

    def create_moments(self, parameters: Tree) -> Moments:
        """Those of the other one, and the steps of each layer."""
        moments = self.optimizer.create_moments(parameters)
        if self.counts_steps:
            moments[STEPS] = {group: mx.array(0.0) for group in self._groups(parameters)}
        return moments

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
        """One step of each layer; see `Optimizer.update`."""
        gradient_of = flatten(gradients)
        state = {kind: flatten(tree) for kind, tree in moments.items() if kind != STEPS}
        updated: Leaves = {}
        after: dict[str, Leaves] = {}
        steps: Leaves = {}
        for group, leaves in self._groups(parameters).items():
            steps[group] = moments[STEPS][group] + 1 if self.counts_steps else step
            new, moved = self.optimizer.update(
                dict(leaves),
                {name: gradient_of[name] for name in leaves},
                {
                    kind: {name: x[name] for name in leaves if name in x}
                    for kind, x in state.items()
                },
                learning_rate=learning_rate * self.share_of(group),
                step=steps[group],
                gradient_scale=gradient_scale,
            )
            updated |= flatten(new)
            for kind, tree in moved.items():
                after.setdefault(kind, {}).update(flatten(tree))
        # In the order of the parameters, as all trees are.
        trees = {kind: unflatten(leaves) for kind, leaves in after.items()}
        ordered = {name: updated[name] for name in flatten(parameters)}
        return unflatten(ordered), trees | ({STEPS: dict(steps)} if self.counts_steps else {})

    def share_of(self, group: str) -> float:
        """The part of the learning rate that a group learns at."""
        return float(self.layer_decay ** (self.head_depth - int(group.removeprefix("layer_"))))

    def describe(self, parameters: Tree) -> str:
        """As the other one, with the lowest share of the rate."""
        said = self.optimizer.describe(parameters)
        if self.layer_decay == 1.0:
            return said
        shares = {group: self.share_of(group) for group in self._groups(parameters)}
        lowest = min(shares.values())
        return (
            f"{said}; rates fall by {self.layer_decay:g} per layer, to {lowest:.2g} of the head's"
        )

    def _groups(self, parameters: Tree) -> dict[str, Leaves]:
        """Parameters by layer, from the lowest to the head."""
        groups: dict[int, Leaves] = {}
        for name, parameter in flatten(parameters).items():
            groups.setdefault(depth_of(name, self.head_depth), {})[name] = parameter
        return {f"layer_{depth}": groups[depth] for depth in sorted(groups)}
