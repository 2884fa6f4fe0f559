"""draw_front: score against latency, size beside each point."""

from collections.abc import Sequence
from pathlib import Path

from bert_playground.compression.front import Judged
from bert_playground.compression.point import Point
from bert_playground.files import replaced_file
from bert_playground.plots import BEST, INK, QUIET, TRAIN, VALIDATION, Axes, Box, Figure

WIDTH, HEIGHT = 8.0, 4.6  # inches


def draw_front(
    path: Path, points: Sequence[Point], judged: Sequence[Judged], chosen: Point, metric: str
) -> None:
    """Write a PNG: all models that were tried, the front, the full model, and the one to use.

    Args:
        path: the file.
        points: all that were tried.
        judged: the front, the full model last.
        chosen: the one to use.
        metric: by which scores are.
    """
    full, front = judged[-1].point, [each.point for each in judged[:-1]]
    everything = [*points, full]
    figure = Figure(WIDTH, HEIGHT)
    box = Box(0.75, 0.5, WIDTH - 0.35, HEIGHT - 0.6)
    most = max(point.milliseconds for point in everything) * 1.12
    axes = Axes(figure, box, most, [point.score for point in everything])
    axes.scatter([_place(p) for p in points if p not in front], QUIET, 5)
    axes.plot([_place(p) for p in front], TRAIN, 1.5)
    axes.scatter([_place(p) for p in front], TRAIN, 8)
    axes.scatter([_place(full)], VALIDATION, 9)
    axes.mark(_place(chosen), BEST)
    for point in (*front, full):
        at = axes.place(_place(point))
        figure.text((at[0] + 0.08, at[1]), f"{point.megabytes:.0f} MB", 8, INK, "lm")
    axes.label(f"{metric} where recipes were compared", "milliseconds of a batch on this machine")
    right = box.right
    legend = (
        ("use this one", BEST),
        ("full model", VALIDATION),
        ("front", TRAIN),
        ("tried", QUIET),
    )
    for place, (name, color) in enumerate(legend):
        at = (right - 1.15 * (place + 1), box.top - 0.25)
        figure.dots([at], color, 7)
        figure.text((at[0] + 0.1, at[1]), name, 9, INK, "lm")
    with replaced_file(path) as temporary:
        figure.save(temporary)


def _place(point: Point) -> tuple[float, float]:
    return point.milliseconds, point.score
