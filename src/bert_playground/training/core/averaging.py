"""average_weights: the exponential moving average (EMA) of weights; mean_weights: their mean over the last steps (SWA)."""

from typing import cast

import mlx.core as mx
from mlx.utils import tree_map

from bert_playground.training.core.optimizer import Tree


def average_weights(average: Tree, parameters: Tree, decay: float, step: int) -> Tree:
    """The average after one more step: decay * average + (1 - decay) * parameters.

    In the first steps, where little is known yet, the decay is (1 + step) / (10 + step) where that is less, so the
    random weights that a run starts from are soon forgotten.

    Args:
        average: before the step; at the first one the parameters themselves.
        parameters: after the step.
        decay: from 0 to 1; 0.99 remembers about the last hundred steps.
        step: from 1.

    Reference: Polyak and Juditsky 1992, SIAM J. Control Optim. 30(4); the warm-up is that of TensorFlow's
    ExponentialMovingAverage.
    """
    weight = 1.0 - min(decay, (1.0 + step) / (10.0 + step))

    def move(old: mx.array, new: mx.array) -> mx.array:
        return old + weight * (new - old)

    return cast("Tree", tree_map(move, average, parameters))


def is_averaged(swa_start: float, step: int, total_steps: int) -> bool:
    """Whether the mean has the weights after this step, from 1; it always has those after the last one."""
    return step > swa_start * total_steps


def describe_average(ema_decay: float, swa_start: float | None) -> str:
    """Which weights a run evaluates and keeps."""
    if swa_start is not None:
        return f"the mean of the weights after {swa_start:.0%} of the steps".replace("%", " %")
    if ema_decay:
        return f"the exponential moving average of the weights (decay {ema_decay:g})"
    return "the weights as they are"


def mean_weights(mean: Tree, parameters: Tree, count: int) -> Tree:
    """The mean after one more step, in which all steps count the same: stochastic weight averaging.

    Args:
        mean: before the step; at the first one the parameters themselves.
        parameters: after the step.
        count: steps that the mean has then, from 1.

    Reference: Izmailov et al. 2018, arXiv 1803.05407.
    """

    def move(old: mx.array, new: mx.array) -> mx.array:
        return old + (new - old) / count

    return cast("Tree", tree_map(move, mean, parameters))
