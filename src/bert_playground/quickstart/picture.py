"""draw_scores: the models of the first run as dots with error bars, one panel for each metric."""

from collections.abc import Sequence
from pathlib import Path

from bert_playground.plots import (
    AXIS,
    BEST,
    GRID,
    INK,
    QUIET,
    TRAIN,
    Box,
    Figure,
    choose_ticks,
)
from bert_playground.quickstart.scores import METRICS, STACK, Score

WIDTH, ROW, TOP, BOTTOM = 9.0, 0.36, 0.75, 0.5  # inches
LEFT, GAP = 2.3, 0.35
MARGIN = 0.1  # beside the outermost values, as a part of their range


def draw_scores(scores: Sequence[Score], path: Path) -> None:
    """Write a PNG: a row for each model, its mean as a dot, one standard error to both sides as a line."""
    height = TOP + ROW * len(scores) + BOTTOM
    figure = Figure(WIDTH, height)
    figure.text(
        (0.25, 0.3),
        "Films put aside: who knows which earned more than $40 million?",
        12,
        INK,
        "lm",
        bold=True,
    )
    width = (WIDTH - LEFT - GAP * len(METRICS)) / len(METRICS)
    for number, (metric, shown) in enumerate(METRICS.items()):
        left = LEFT + number * (width + GAP)
        box = Box(left, TOP, left + width, height - BOTTOM)
        _draw_panel(
            figure,
            box,
            f"{shown} ± standard error",
            [(getattr(score, metric), getattr(score, f"{metric}_error")) for score in scores],
            [BEST if score.name == STACK else TRAIN for score in scores],
        )
    for row, score in enumerate(scores):
        y = TOP + ROW * (row + 0.5)
        figure.text((LEFT - 0.15, y), score.name, 10, INK, "rm", bold=score.name == STACK)
    figure.save(path)


def _draw_panel(
    figure: Figure,
    box: Box,
    title: str,
    values: Sequence[tuple[float, float]],
    colors: Sequence[str],
) -> None:
    low = min(value - error for value, error in values)
    high = max(value + error for value, error in values)
    margin = (high - low) * MARGIN or MARGIN
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return box.left + (box.right - box.left) * (value - low) / (high - low)

    for tick, label in choose_ticks(low, high):
        figure.line([(place(tick), box.top), (place(tick), box.bottom)], GRID, 0.8)
        figure.text((place(tick), box.bottom + 0.05), label, 9, QUIET, "ma")
    figure.line([(box.left, box.bottom), (box.right, box.bottom)], AXIS, 0.8)
    figure.text((box.left, box.top - 0.08), title, 10, INK, "ls")
    for row, ((value, error), color) in enumerate(zip(values, colors, strict=True)):
        y = box.top + ROW * (row + 0.5)
        figure.line([(place(value - error), y), (place(value + error), y)], color, 2)
        figure.dots([(place(value), y)], color, 8)
