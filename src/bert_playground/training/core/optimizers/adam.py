"""AdamW, Adam: by the kernels of optimizer_kernels.py."""

from dataclasses import dataclass

import mlx.core as mx

from bert_playground import optimizer_kernels
from bert_playground.training.core.optimizer import (
    Moments,
    Tree,
    create_zeros,
    describe_decay,
    flatten,
    is_decayed,
    scaled,
    unflatten,
)


@dataclass(frozen=True)
class AdamW:
    """AdamW without decay on vectors; state is two trees, {"m": ..., "v": ...}.

    Reference: Loshchilov and Hutter 2019, arXiv 1711.05101.
    """

    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros for each parameter."""
        return {name: create_zeros(flatten(parameters)) for name in ("m", "v")}

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
        """One step; see `Optimizer.update`."""
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
        trees = [unflatten(dict(zip(old, new, strict=True))) for new in updated]
        return trees[0], {"m": trees[1], "v": trees[2]}

    def describe(self, parameters: Tree) -> str:
        """Which parameters decay, in one sentence."""
        return f"AdamW: {describe_decay(self.weight_decay, flatten(parameters).values())}"


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction; its weight decay is L2, added to the gradients of matrices as in torch.optim.Adam.

    State as of AdamW. Reference: Kingma and Ba 2015, arXiv 1412.6980.
    """

    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros for each parameter."""
        return self._adamw.create_moments(parameters)

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
        """One step; see `Optimizer.update`."""
        if self.weight_decay:
            gradients = add_decay(parameters, gradients, gradient_scale, self.weight_decay)
            gradient_scale = mx.array(1.0)
        return self._adamw.update(
            parameters,
            gradients,
            moments,
            learning_rate=learning_rate,
            step=step,
            gradient_scale=gradient_scale,
        )

    def describe(self, parameters: Tree) -> str:
        """Which parameters decay, in one sentence."""
        return f"Adam: {describe_decay(self.weight_decay, flatten(parameters).values())}"

    @property
    def _adamw(self) -> AdamW:
        return AdamW(0.0, self.beta1, self.beta2, self.eps)


def add_decay(parameters: Tree, gradients: Tree, scale: mx.array, weight_decay: float) -> Tree:
    """Gradients times the scale, with `weight_decay` times the parameter added to those of matrices: L2 regularisation."""
    old = flatten(parameters)
    return unflatten(
        {
            name: gradient + weight_decay * old[name] if is_decayed(old[name]) else gradient
            for name, gradient in scaled(gradients, scale).items()
        }
    )
