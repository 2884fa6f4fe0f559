"""Lion: the sign of an interpolated momentum."""

from dataclasses import dataclass

import mlx.core as mx

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
class Lion:
    """Step rate * (sign(beta1 * m + (1 - beta1) * g) + decay * p), then m = beta2 * m + (1 - beta2) * g.

    Every value moves by the rate, so it wants a rate 3 to 10 times lower than AdamW's, and as much more decay. State:
    {"m": ...}, half of AdamW's.

    Reference: Chen et al. 2023, arXiv 2302.06675.
    """

    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros for each parameter."""
        return {"m": create_zeros(flatten(parameters))}

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
        gradient, before = scaled(gradients, gradient_scale), flatten(moments["m"])
        new: dict[str, mx.array] = {}
        m: dict[str, mx.array] = {}
        for name, parameter in flatten(parameters).items():
            g, old = gradient[name], before[name]
            if is_decayed(parameter):
                parameter = parameter * (1 - learning_rate * self.weight_decay)
            new[name] = parameter - learning_rate * mx.sign(self.beta1 * old + (1 - self.beta1) * g)
            m[name] = self.beta2 * old + (1 - self.beta2) * g
        return unflatten(new), {"m": unflatten(m)}

    def describe(self, parameters: Tree) -> str:
        """Which parameters decay, in one sentence."""
        return f"Lion: {describe_decay(self.weight_decay, flatten(parameters).values())}"
