"""draw_comparison: the curves of several runs over each other, as a PNG."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from bert_playground.files import replaced_file
from bert_playground.plots import INK, Axes, Box, Figure, Point
from bert_playground.run_record import RunRecord

WIDTH, HEIGHT, LEGEND = 5.5, 4.0, 0.22  # inches: of a panel, and of a line of the legend
COLORS = ("#2f7ebc", "#d9622b", "#2a9d5c", "#8a4fa8", "#b8860b", "#6b7b8a")
MOST_RUNS = len(COLORS)


def draw_comparison(
    names: Sequence[str], records: Sequence[RunRecord], path: Path, metric: str | None = None
) -> None:
    """Write a PNG: validation loss on the left, a metric on the right.

    Args:
        names: of the runs.
        records: of the runs, at most six.
        path: of the PNG.
        metric: such as val_accuracy; None: the first one beside the loss that all have.

    Raises:
        ValueError: too many runs for their colours, or none has been evaluated, as runs over folds are in theirs.
    """
    if len(names) > MOST_RUNS:
        raise ValueError(
            f"{len(names)} runs are too many for one picture; give at most {MOST_RUNS}"
        )
    metric = metric or _shared_metric(records)
    panels = [
        name for name in ("val_loss", metric) if name and any(_points(r, name) for r in records)
    ]
    if not panels:
        raise ValueError(
            "none of the runs has a curve of its own; runs over folds have them in folds/"
        )
    figure = Figure(WIDTH * len(panels), HEIGHT + LEGEND * len(names))
    for place, name in enumerate(panels):
        curves = [_points(record, name) for record in records]
        points = [point for curve in curves for point in curve]
        left = WIDTH * place
        box = Box(left + 0.75, 0.45, left + WIDTH - 0.15, HEIGHT - 0.55)
        axes = Axes(figure, box, max(step for step, _ in points) * 1.02, [y for _, y in points])
        for curve, color in zip(curves, COLORS, strict=False):
            if curve:
                axes.plot(curve, color, marked=True)
        axes.label(f"validation {name.removeprefix('val_')}", "optimizer step")
    for place, (name, color) in enumerate(zip(names, COLORS, strict=False)):
        y = HEIGHT + LEGEND * (place + 0.3)
        figure.line([(0.75, y), (1.05, y)], color, 2)
        figure.text((1.15, y), name, 9, INK, "lm")
    with replaced_file(path) as temporary:
        figure.save(temporary)


def _shared_metric(records: Sequence[RunRecord]) -> str | None:
    measured = [record.evaluations[-1].metrics for record in records if record.evaluations]
    if not measured:
        return None
    names = [name for name in measured[0] if all(name in metrics for metrics in measured)]
    return next((name for name in names if name != "val_loss"), None)


def _points(record: RunRecord, name: str) -> list[Point]:
    rows = [row for row in record.evaluations if name in row.metrics]
    return [(row.step, row.metrics[name]) for row in rows if isfinite(row.metrics[name])]
