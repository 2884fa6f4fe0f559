"""fit_cut_points: where the expected class number goes over from one ordered class to the next, for a metric."""

from typing import Any

import numpy as np

from bert_playground.blending.confusion import MetricOfConfusion

Array = np.ndarray[Any, Any]
NUM_PLACES = 200
NUM_ROUNDS = 20


def expected_class(probabilities: Array) -> Array:
    """The mean class number of each row's distribution: [R] from [R, K]."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    numbers = np.arange(probabilities.shape[1])
    return np.asarray(probabilities @ numbers / probabilities.sum(axis=1))


def cut(values: Array, points: Array) -> Array:
    """The class of each value: how many of the rising cut points it has reached."""
    return np.asarray(np.searchsorted(np.asarray(points), values, side="right"))


def fit_cut_points(
    labels: Array, probabilities: Array, of_confusion: MetricOfConfusion
) -> tuple[float, ...]:
    """K - 1 rising cut points on the expected class number, by coordinate ascent over 200 quantiles of it.

    Two starts: the middle between two class numbers, and the points that decide each class as often as it is there. One
    point at a time moves to the place with the best metric, until none does.

    Args:
        labels: [R], class numbers.
        probabilities: [R, K].
        of_confusion: the metric from confusion matrices, more is better.
    """
    num_classes = probabilities.shape[1]
    values = expected_class(probabilities)
    order = np.argsort(values, kind="stable")
    rising = values[order]
    places, limits = _places(rising)
    one_hot = labels[order, None] == np.arange(num_classes)
    below = np.concatenate([np.zeros((1, num_classes), np.int64), one_hot.cumsum(axis=0)])[places]
    middle = np.searchsorted(limits, np.arange(num_classes - 1) + 0.5)
    shares = np.bincount(labels, minlength=num_classes).cumsum()[:-1]
    matched = np.searchsorted(places, shares)
    best, best_value = middle, -np.inf
    for start in (middle, matched):
        found, value = _climb(np.minimum(start, len(limits) - 1), below, of_confusion)
        if value > best_value:
            best, best_value = found, value
    return tuple(limits[best].tolist())


def _places(rising: Array) -> tuple[Array, Array]:
    """Where a cut may be: how many rows lie below it, and its value; between rows, thinned out, and at both ends."""
    between = np.flatnonzero(np.diff(rising)) + 1
    if len(between) > NUM_PLACES:
        between = between[np.linspace(0, len(between) - 1, NUM_PLACES).round().astype(np.int64)]
    middles = (rising[between - 1] + rising[between]) / 2
    # Beyond all rows: such a class is not decided, and the values must be able to come back from a file.
    ends = (rising[0] - 1.0, rising[-1] + 1.0)
    return (
        np.concatenate([[0], between, [len(rising)]]),
        np.concatenate([ends[:1], middles, ends[1:]]),
    )


def _climb(start: Array, below: Array, of_confusion: MetricOfConfusion) -> tuple[Array, float]:
    points = np.maximum.accumulate(start)
    value = float(_judge(points[None], below, of_confusion)[0])
    for _ in range(NUM_ROUNDS):
        before = value
        for place in range(len(points)):
            lowest = points[place - 1] if place else 0
            highest = points[place + 1] if place + 1 < len(points) else len(below) - 1
            moved = np.tile(points, (highest - lowest + 1, 1))
            moved[:, place] = np.arange(lowest, highest + 1)
            values = _judge(moved, below, of_confusion)
            if values.max() > value + 1e-12:
                # The middle of the best stretch: its ends are luck.
                equal = np.flatnonzero(values >= values.max() - 1e-12)
                points, value = moved[equal[len(equal) // 2]], float(values.max())
        if value <= before + 1e-12:
            break
    return points, value


def _judge(points: Array, below: Array, of_confusion: MetricOfConfusion) -> Array:
    """The metric of each row of cut places [P, K - 1]."""
    at = below[points]  # [P, K - 1, K]: rows of each label below each cut
    ends = np.broadcast_to(below[[0, -1]][None], (len(points), 2, below.shape[1]))
    edges = np.concatenate([ends[:, :1], at, ends[:, 1:]], axis=1)
    counts = np.diff(edges, axis=1).swapaxes(1, 2)
    return np.nan_to_num(of_confusion(counts), nan=-np.inf)
