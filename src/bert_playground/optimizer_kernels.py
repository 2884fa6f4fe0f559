"""AdamW and the norm of gradients: by the native CPU kernels, with the MLX form beside each."""

from collections.abc import Sequence

import mlx.core as mx

from bert_playground.kernels import native_module

# Arrays of one operation: enough to wake the threads rarely, few enough to build the graph quickly.
GROUP_SIZE = 16


def adamw(
    parameters: Sequence[mx.array],
    gradients: Sequence[mx.array],
    m: Sequence[mx.array],
    v: Sequence[mx.array],
    *,
    learning_rate: mx.array,
    step: mx.array,
    gradient_scale: mx.array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: Sequence[float],
) -> tuple[list[mx.array], list[mx.array], list[mx.array]]:
    """One AdamW step with bias correction and decoupled decay (Loshchilov and Hutter 2019, arXiv 1711.05101).

    The scalars `learning_rate`, `step` (from 1) and `gradient_scale` (of clipping) are f32 arrays, so one compiled
    graph serves every step; `weight_decay` has a value for each parameter.

    Returns:
        (parameters, m, v) after the step.
    """
    native = native_module()
    update = _mlx_adamw if native is None else native.adamw
    updated: tuple[list[mx.array], ...] = ([], [], [])
    for begin in range(0, len(parameters), GROUP_SIZE):
        group = slice(begin, begin + GROUP_SIZE)
        results = update(
            parameters[group],
            gradients[group],
            m[group],
            v[group],
            learning_rate,
            step,
            gradient_scale,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            weight_decay=weight_decay[group],
        )
        for into, new in zip(updated, results, strict=True):
            into.extend(new)
    return updated[0], updated[1], updated[2]


def _mlx_adamw(
    parameters: Sequence[mx.array],
    gradients: Sequence[mx.array],
    m: Sequence[mx.array],
    v: Sequence[mx.array],
    learning_rate: mx.array,
    step: mx.array,
    gradient_scale: mx.array,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: Sequence[float],
) -> tuple[list[mx.array], list[mx.array], list[mx.array]]:
    gradients = [gradient.astype(mx.float32) * gradient_scale for gradient in gradients]
    m = [beta1 * old + (1 - beta1) * g for old, g in zip(m, gradients, strict=True)]
    v = [beta2 * old + (1 - beta2) * mx.square(g) for old, g in zip(v, gradients, strict=True)]
    updated = []
    for parameter, first, second, decay in zip(parameters, m, v, weight_decay, strict=True):
        denominator = mx.sqrt(second / (1 - beta2**step)) + eps
        update = (first / (1 - beta1**step)) / denominator
        updated.append(parameter * (1 - learning_rate * decay) - learning_rate * update)
    return updated, m, v


def square_sum(arrays: Sequence[mx.array]) -> mx.array:
    """The sum of the squares of all arrays as an f32 scalar, for the global norm of the gradients."""
    native = native_module()
    if native is not None:
        total: mx.array = native.square_sum(*arrays)
        return total
    return mx.stack([mx.square(x.astype(mx.float32)).sum() for x in arrays]).sum()
