"""Curves: the picture of loss and metric over steps."""

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from bert_playground.files import replaced_file
from bert_playground.plots import BEST, INK, TRAIN, VALIDATION, Axes, Box, Figure, Point, fade
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import TrainState

WIDTH, HEIGHT = 5.5, 4.2  # of one panel, in inches
SMOOTHED_REPORTS = 9


class Curves(Callback):
    """Draws `curves.png` when training ends."""

    def __init__(self, path: Path, metric: str = "", title: str = "") -> None:
        """Make the callback; `metric` is drawn beside the loss, and `title` says what was trained."""
        self.path = path
        self.metric = metric
        self.title = title

    def on_train_end(self, state: TrainState) -> None:
        """Draw the history, also of an interrupted run."""
        if state.history:
            draw_curves(state, self.path, self.metric, self.title)


def draw_curves(state: TrainState, path: Path, metric: str = "", title: str = "") -> None:
    """Write a PNG of the history: losses on the left, and `metric`, such as val_accuracy, on the right if it was measured."""
    has_metric = bool(_points(state, metric))
    figure = Figure(WIDTH * (2 if has_metric else 1), HEIGHT)
    _draw_losses(figure, state)
    if has_metric:
        _draw_metric(figure, state, metric)
    if title:
        figure.text((0.15, 0.06 * HEIGHT), title, 12, INK, "lm", bold=True)
    with replaced_file(path) as temporary:
        figure.save(temporary)


def _draw_losses(figure: Figure, state: TrainState) -> None:
    reported, validated = _points(state, "loss"), _points(state, "val_loss")
    axes = _add_axes(figure, 0, state, [*reported, *validated])
    entries = []
    if reported:
        axes.plot(reported, fade(TRAIN, 0.3), 1)
        smooth = _smooth([loss for _, loss in reported], SMOOTHED_REPORTS)
        axes.plot([(x, y) for (x, _), y in zip(reported, smooth, strict=True)], TRAIN)
        entries.append(("training", TRAIN, False))
    if validated:
        axes.plot(validated, VALIDATION, marked=True)
        _mark_best(axes, state, "val_loss")
        entries.append(("validation", VALIDATION, True))
    axes.label("loss", "optimizer step")
    if reported:
        axes.legend(entries)


def _draw_metric(figure: Figure, state: TrainState, metric: str) -> None:
    points = _points(state, metric)
    axes = _add_axes(figure, WIDTH, state, points)
    axes.plot(points, VALIDATION, marked=True)
    _mark_best(axes, state, metric)
    title = f"validation {metric.removeprefix('val_')}"
    if metric in state.best_metrics:
        title += f", {state.best_metrics[metric]:.4g} in the best epoch, {state.best_epoch}"
    axes.label(title, "optimizer step")


def _add_axes(figure: Figure, left: float, state: TrainState, points: Sequence[Point]) -> Axes:
    """Axes whose outer edge begins `left` inches from the figure's; the margins hold tick labels of nine characters."""
    box = Box(left + 0.75, 0.65, left + WIDTH - 0.15, HEIGHT - 0.5)
    return Axes(figure, box, max(1, state.step) * 1.02, [value for _, value in points])


def _mark_best(axes: Axes, state: TrainState, name: str) -> None:
    if math.isfinite(state.best_metrics.get(name, math.nan)):
        axes.mark((state.best_step, state.best_metrics[name]), BEST)


def _points(state: TrainState, name: str) -> list[Point]:
    """Step and value of every record that has one."""
    found = [(record["step"], record[name]) for record in state.history if name in record]
    return [(step, value) for step, value in found if math.isfinite(value)]


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """A moving mean over `window` reports, with shorter windows at the ends so that no lag appears."""
    sums = list(accumulate(values, initial=0.0))
    means = []
    for middle in range(len(values)):
        reach = min(window // 2, middle, len(values) - 1 - middle)
        means.append((sums[middle + reach + 1] - sums[middle - reach]) / (2 * reach + 1))
    return means
