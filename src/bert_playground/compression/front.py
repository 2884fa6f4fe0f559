"""find_front, judge_front, choose_point: which of many models nobody beats in everything, and which one to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_playground.compression.point import Point, Workshop
from bert_playground.inference import Predictor
from bert_playground.training.comparison.bootstrap import bootstrap_gain
from bert_playground.training.comparison.paired import direction

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Judged:
    """A point of the front, on rows that nothing was chosen by.

    Attributes:
        point: the model.
        score: by the metric.
        gain: by how much it is better than the full model on the same rows; negative: worse.
        error: standard error of `gain`, paired over rows.
    """

    point: Point
    score: float
    gain: float
    error: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        judged = {"score": self.score, "gain": self.gain, "standard_error": self.error}
        return {**self.point.to_dict(), "put_aside": judged}


def find_front(points: Sequence[Point], metric: str) -> list[Point]:
    """Points that no other one equals or beats in score, latency and size at once, the fastest first."""
    sign = direction(metric)
    values = [(-sign * p.score, p.milliseconds, p.megabytes) for p in points]
    front = [
        point
        for point, own in zip(points, values, strict=True)
        if not any(_beats(other, own) for other in values)
    ]
    return sorted(front, key=lambda point: point.milliseconds)


def _beats(other: Sequence[float], own: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(other, own, strict=True)) and tuple(other) != tuple(own)


def judge_front(front: Sequence[Point], workshop: Workshop, seed: int = 0) -> list[Judged]:
    """Score points and the full model once on the rows put aside; differences with a paired bootstrap.

    The full model comes last, with a gain of 0.
    """
    full, frame = workshop.packed, workshop.rows.aside
    reference = full.score(frame)
    labels = reference.labels
    assert labels is not None
    whole = workshop.score(labels, reference.scores)
    judged = []
    for point in front:
        scores = Predictor.load(point.folder).score(frame).scores
        gain, error = bootstrap_gain(
            workshop.judge, labels, [scores], [reference.scores], seed=seed
        )
        judged.append(Judged(point, workshop.score(labels, scores), gain, error))
    return [*judged, Judged(workshop.full_point, whole, 0.0, 0.0)]


def choose_point(judged: Sequence[Judged], metric: str, max_drop: float) -> tuple[Judged, str]:
    """The fastest point that loses little on the rows that recipes were compared on, and the reason in a sentence.

    The rows put aside do not choose, so that what they say of the chosen one is not flattered.

    Args:
        judged: from `judge_front`; the full model is last.
        metric: by which scores are.
        max_drop: how much of the metric may be lost.
    """
    sign, full = direction(metric), judged[-1].point
    points = [each for each in judged[:-1] if each.point.milliseconds < full.milliseconds]
    near = [each for each in points if sign * (full.score - each.point.score) <= max_drop]
    aside = "on the rows put aside it is {:+.4f} ± {:.4f} of the full model's {:.4f}"
    if not near:
        return judged[-1], (
            f"no faster model stays within {max_drop:g} {metric} of the full one ({full.score:.4f}) on the rows that recipes "
            "were compared on; allow more with --max-drop, or learn longer with --epochs"
        )
    best = min(near, key=lambda each: each.point.milliseconds)
    said = aside.format(best.gain, best.error, judged[-1].score)
    return best, (
        f"the fastest that loses no more than {max_drop:g} {metric} where recipes were compared ({best.point.score:.4f} "
        f"against {full.score:.4f}): {best.point.speed_up:.1f} times as fast, "
        f"{full.megabytes / best.point.megabytes:.1f} times smaller; {said}"
    )
