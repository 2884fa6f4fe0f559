"""SGD: with momentum, also Nesterov's."""

from dataclasses import dataclass

import mlx.core as mx

from bert_playground.training.core.optimizer import (
    Moments,
    Tree,
    create_zeros,
    describe_decay,
    flatten,
    scaled,
    unflatten,
)
from bert_playground.training.core.optimizers.adam import add_decay


@dataclass(frozen=True)
class SGD:
    """v = momentum * v + g; the step is rate * v, with Nesterov rate * (g + momentum * v), as in torch.optim.SGD.

    Its weight decay is L2, added to the gradients of matrices. State: {"v": ...}, none without momentum.

    Reference: Sutskever et al. 2013, ICML.
    """

    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("optimizer.nesterov needs optimizer.momentum above 0, such as 0.9")

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros for each parameter, where there is momentum."""
        return {"v": create_zeros(flatten(parameters))} if self.momentum else {}

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
        steps = gradient = scaled(gradients, gradient_scale)
        state: Moments = {}
        if self.momentum:
            before = flatten(moments["v"])
            v = {name: self.momentum * before[name] + g for name, g in gradient.items()}
            state, steps = {"v": unflatten(v)}, v
            if self.nesterov:
                steps = {name: g + self.momentum * v[name] for name, g in gradient.items()}
        new = {name: p - learning_rate * steps[name] for name, p in flatten(parameters).items()}
        return unflatten(new), state

    def describe(self, parameters: Tree) -> str:
        """Momentum, and which parameters decay, in one sentence."""
        kind = "Nesterov momentum" if self.nesterov else "momentum"
        decay = describe_decay(self.weight_decay, flatten(parameters).values())
        return f"SGD: {kind} {self.momentum:g}, {decay}"
