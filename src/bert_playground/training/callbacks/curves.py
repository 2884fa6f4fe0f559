"""Curves: the picture of loss and metric over steps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_playground.files import replaced_file
from bert_playground.plots import AXIS, BEST, GRID, INK, QUIET, TRAIN, VALIDATION
from bert_playground.training.core.callback import Callback
from bert_playground.training.core.state import History, TrainState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.5, 4.2  # of one panel, in inches


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
    # Imported here because it takes a quarter of a second, and the canvas directly because pyplot would want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    has_metric = bool(_evaluations(state.history, metric)[0].size)
    width = WIDTH * (2 if has_metric else 1)
    figure = Figure(figsize=(width, HEIGHT), dpi=140, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    losses = _add_panel(figure, 0)
    _draw_losses(losses, state)
    _polish(losses, state)
    if has_metric:
        values = _add_panel(figure, WIDTH)
        _draw_metric(values, state, metric)
        _polish(values, state)
    if title:
        figure.text(
            0.15 / width, 0.94, title, fontsize=12, fontweight="bold", color=INK, va="center"
        )
    with replaced_file(path) as temporary:
        # savefig would draw everything twice, to find a layout that is fixed here.
        canvas.print_png(temporary, pil_kwargs={"compress_level": 1})


def _add_panel(figure: "Figure", left: float) -> "Axes":
    """Axes whose outer edge begins `left` inches from the figure's; the margins hold tick labels of nine characters."""
    width = figure.get_figwidth()
    return figure.add_axes(
        ((left + 0.75) / width, 0.5 / HEIGHT, (WIDTH - 0.9) / width, (HEIGHT - 1.15) / HEIGHT)
    )


def _draw_losses(axis: "Axes", state: TrainState) -> None:
    reports = [record for record in state.history if record["kind"] == "train"]
    steps = np.array([record["step"] for record in reports])
    losses = np.array([record["loss"] for record in reports])
    axis.plot(steps, losses, color=TRAIN, alpha=0.3, linewidth=1)
    axis.plot(steps, _smooth(losses), color=TRAIN, linewidth=2, label="training")
    steps, losses = _evaluations(state.history, "val_loss")
    if steps.size:
        axis.plot(
            steps,
            losses,
            color=VALIDATION,
            linewidth=2,
            marker="o",
            markersize=3.5,
            label="validation",
        )
        _mark_best(axis, state, "val_loss")
    axis.set_title("loss", loc="left", y=1.02, fontsize=10, color=INK)
    if reports:
        axis.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)


def _draw_metric(axis: "Axes", state: TrainState, metric: str) -> None:
    steps, values = _evaluations(state.history, metric)
    axis.plot(steps, values, color=VALIDATION, linewidth=2, marker="o", markersize=3.5)
    _mark_best(axis, state, metric)
    title = f"validation {metric.removeprefix('val_')}"
    if metric in state.best_metrics:
        title += f", {state.best_metrics[metric]:.4g} in the best epoch, {state.best_epoch}"
    axis.set_title(title, loc="left", y=1.02, fontsize=10, color=INK)


def _mark_best(axis: "Axes", state: TrainState, name: str) -> None:
    if name in state.best_metrics:
        axis.axvline(
            state.best_step, color=BEST, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7, zorder=0
        )
        axis.scatter([state.best_step], [state.best_metrics[name]], s=60, color=BEST, zorder=5)


def _polish(axis: "Axes", state: TrainState) -> None:
    axis.set_xlabel("optimizer step", fontsize=9, color=QUIET)
    axis.locator_params(nbins=6)
    axis.set_xlim(left=0, right=max(1, state.step) * 1.02)
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=QUIET, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(AXIS)


def _evaluations(history: History, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found = [(record["step"], record[name]) for record in history if name in record]
    return np.array([step for step, _ in found]), np.array([value for _, value in found])


def _smooth(values: np.ndarray[Any, Any], window: int = 9) -> np.ndarray[Any, Any]:
    """A moving mean over `window` reports, with shorter windows at the ends so that no lag appears."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    middle = np.arange(len(values))
    reach = np.minimum(window // 2, np.minimum(middle, len(values) - 1 - middle))
    means: np.ndarray[Any, Any] = (sums[middle + reach + 1] - sums[middle - reach]) / (
        2 * reach + 1
    )
    return means
