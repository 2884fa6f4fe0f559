"""average_weights: the exponential moving average (EMA) of weights over the steps of a run."""

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
