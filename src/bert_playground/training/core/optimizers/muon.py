"""Muon: orthogonalised momentum for the hidden matrices, AdamW for everything else."""

import math
from dataclasses import dataclass

import mlx.core as mx

from bert_playground import kernels
from bert_playground.training.core.optimizer import (
    Leaves,
    Moments,
    Tree,
    create_zeros,
    describe_decay,
    flatten,
    scaled,
    unflatten,
)
from bert_playground.training.core.optimizers.adam import AdamW

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: steep at 0, and near 1 around 1
NUM_ITERATIONS = 5
# The root mean square of an AdamW step is about this much of the rate, so that one rate serves both.
ADAMW_RMS = 0.2


@dataclass(frozen=True)
class Muon:
    """The momentum of each hidden matrix, with all its singular values brought near 1, is its step.

    Hidden matrices are the weights of the encoder's layers; query, key and value are three matrices. Embeddings, norms,
    biases and the head are AdamW's, and so are LoRA's factors: it is their product that changes the layer, and a factor
    alone has no singular values worth equalising. The step of an [n, m] matrix is multiplied by 0.2 * sqrt(max(n, m)), the
    size of AdamW's, so that both follow one learning rate (`match_rms_adamw` in torch.optim.Muon).

    State: {"momentum"} of hidden matrices, {"m", "v"} of the others. Reference: Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv 2502.16982 (decay, size of the step).
    """

    weight_decay: float = 0.01
    momentum: float = 0.95
    nesterov: bool = True
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros: one tree for hidden matrices, two for the others."""
        leaves = flatten(parameters)
        hidden = {name: p for name, p in leaves.items() if is_hidden_matrix(name, p)}
        others = {name: p for name, p in leaves.items() if name not in hidden}
        return {
            "momentum": create_zeros(hidden),
            **self._adamw.create_moments(unflatten(others)),
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
        """One step; see `Optimizer.update`."""
        old = flatten(parameters)
        is_hidden = {name: is_hidden_matrix(name, p) for name, p in old.items()}

        def take(tree: Tree, *, hidden: bool) -> Tree:
            return {name: x for name, x in flatten(tree).items() if is_hidden[name] == hidden}

        new, state = self._adamw.update(
            take(parameters, hidden=False),
            take(gradients, hidden=False),
            {kind: moments.get(kind, {}) for kind in ("m", "v")},
            learning_rate=learning_rate,
            step=step,
            gradient_scale=gradient_scale,
        )
        updated, before = flatten(new), flatten(moments.get("momentum", {}))
        momentum: Leaves = {}
        for name, g in scaled(take(gradients, hidden=True), gradient_scale).items():
            update = momentum[name] = self.momentum * before[name] + (1 - self.momentum) * g
            if self.nesterov:
                update = self.momentum * update + (1 - self.momentum) * g
            kept = old[name] * (1 - learning_rate * self.weight_decay)
            updated[name] = kept - learning_rate * orthogonal_step(name, update)
        return unflatten(updated), {"momentum": unflatten(momentum), **state}

    def describe(self, parameters: Tree) -> str:
        """Which parameters are whose, in one sentence."""
        leaves = flatten(parameters)
        hidden = [p for name, p in leaves.items() if is_hidden_matrix(name, p)]
        count = sum(parameter.size for parameter in hidden)
        decay = describe_decay(self.weight_decay, leaves.values())
        return (
            f"Muon on {len(hidden)} hidden matrices ({count:,} values), AdamW on the other "
            f"{len(leaves) - len(hidden)} parameters; {decay}"
        )

    @property
    def _adamw(self) -> AdamW:
        return AdamW(self.weight_decay, self.beta1, self.beta2, self.eps)


def is_hidden_matrix(name: str, parameter: mx.array) -> bool:
    """Whether a parameter, by its dotted name in the model, is the weight matrix of one of the encoder's layers."""
    return parameter.ndim == 2 and ".layers." in f".{name}" and name.endswith(".weight")


def orthogonal_step(name: str, update: mx.array) -> mx.array:
    """The update [n, m] with singular values near 1, in the size of an AdamW step."""
    parts = mx.split(update, 3) if name.endswith("attention.qkv.weight") else [update]
    size = ADAMW_RMS * math.sqrt(max(parts[0].shape))
    return size * mx.concatenate([orthogonalise(part) for part in parts])


def orthogonalise(matrix: mx.array) -> mx.array:
    """Bring the singular values of [n, m] near 1 by the quintic Newton-Schulz iteration, in f32."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (mx.sqrt(mx.square(x).sum()) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(NUM_ITERATIONS):
        # linear(y, w) is y w^T; the Gram matrix is its own transpose.
        gram = kernels.linear(x, x)
        polynomial = b * gram + c * kernels.linear(gram, gram)
        x = a * x + kernels.linear(polynomial, x.T)
    return x.T if is_tall else x
