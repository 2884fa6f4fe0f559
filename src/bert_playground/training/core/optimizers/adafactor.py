"""Adafactor: the second moment of a matrix kept as its rows' and its columns' means."""

from dataclasses import dataclass

import mlx.core as mx

from bert_playground.training.core.optimizer import (
    Leaves,
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
class Adafactor:
    """A state that grows with the sides of a matrix and not with its area; rates are absolute, as AdamW's.

    v is approximated by rows * columns / mean(rows) and decays by beta2(t) = 1 - t^-decay_rate; the step g / sqrt(v) is
    scaled down where its root mean square exceeds `clip_threshold`. This is transformers' Adafactor with
    scale_parameter=False and relative_step=False. State: {"row", "column"} of matrices, {"v"} of vectors, and {"m"} with
    beta1 above 0.

    Reference: Shazeer and Stern 2018, arXiv 1804.04235.
    """

    weight_decay: float = 0.0
    beta1: float = 0.0
    eps: float = 1e-30  # added to squared gradients
    decay_rate: float = 0.8
    clip_threshold: float = 1.0

    def create_moments(self, parameters: Tree) -> Moments:
        """Zeros of the reduced shapes."""
        leaves = flatten(parameters)
        matrices = {name: p for name, p in leaves.items() if p.ndim >= 2}
        vectors = {name: p for name, p in leaves.items() if p.ndim < 2}
        moments = {
            "row": unflatten({name: mx.zeros(p.shape[:-1]) for name, p in matrices.items()}),
            "column": unflatten(
                {name: mx.zeros(p.shape[:-2] + p.shape[-1:]) for name, p in matrices.items()}
            ),
            "v": create_zeros(vectors),
        }
        return moments | ({"m": create_zeros(leaves)} if self.beta1 else {})

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
        # A run whose parameters are all matrices, or all vectors, is resumed without the empty trees.
        before = {kind: flatten(moments.get(kind, {})) for kind in ("row", "column", "v", "m")}
        after: dict[str, Leaves] = {kind: {} for kind in before}
        beta2, new = 1.0 - step**-self.decay_rate, {}
        gradient = scaled(gradients, gradient_scale)
        for name, parameter in flatten(parameters).items():
            update = self._normalise(name, gradient[name], beta2, before, after)
            if self.beta1:
                update = self.beta1 * before["m"][name] + (1 - self.beta1) * update
                after["m"][name] = update
            if is_decayed(parameter):
                parameter = parameter * (1 - learning_rate * self.weight_decay)
            new[name] = parameter - learning_rate * update
        kinds = [kind for kind in before if kind in moments]
        return unflatten(new), {kind: unflatten(after[kind]) for kind in kinds}

    def _normalise(
        self,
        name: str,
        gradient: mx.array,
        beta2: mx.array,
        before: dict[str, Leaves],
        after: dict[str, Leaves],
    ) -> mx.array:
        """The gradient over the root of its second moment, which is moved into `after`, clipped."""
        square = mx.square(gradient) + self.eps

        def move(kind: str, mean: mx.array) -> mx.array:
            after[kind][name] = beta2 * before[kind][name] + (1 - beta2) * mean
            return after[kind][name]

        if gradient.ndim >= 2:
            row, column = move("row", square.mean(axis=-1)), move("column", square.mean(axis=-2))
            row = mx.rsqrt(row / row.mean(axis=-1, keepdims=True))
            update = gradient * row[..., None] * mx.rsqrt(column)[..., None, :]
        else:
            update = gradient * mx.rsqrt(move("v", square))
        root_mean_square = mx.sqrt(mx.square(update).mean())
        return update / mx.maximum(1.0, root_mean_square / self.clip_threshold)

    def describe(self, parameters: Tree) -> str:
        """Which parameters decay, in one sentence."""
        return f"Adafactor: {describe_decay(self.weight_decay, flatten(parameters).values())}"
