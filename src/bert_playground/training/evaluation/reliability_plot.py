"""draw_reliability: the picture of confidence against accuracy, before and after calibration."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bert_playground.files import replaced_file
from bert_playground.plots import AXIS, BEST, GRID, INK, QUIET, TRAIN
from bert_playground.training.evaluation.calibrate import Calibration, Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_reliability(
    calibration: Calibration, path: Path, store: Callable[[], None] | None = None
) -> None:
    """Write a PNG: for each bin of confidence the part that was right; on the diagonal they agree.

    Args:
        calibration: what is shown.
        path: of the picture.
        store: is called when the picture is written and before it is put in its place, so that a full disk changes
            neither; None: nothing else is to be written.
    """
    # Imported here because it takes half a second, and the canvas directly because pyplot would want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.4), dpi=140, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    _draw(axes[0], calibration.before, "before", TRAIN)
    _draw(axes[1], calibration.after, "after", BEST)
    axes[0].set_ylabel("part that is right", fontsize=9, color=QUIET)
    figure.suptitle(
        f"{calibration.rows} rows; the area of a dot is its share of them",
        x=0.012,
        ha="left",
        fontsize=10,
        color=INK,
    )
    with replaced_file(path) as temporary:
        figure.savefig(temporary, format="png")
        if store is not None:
            store()


def _draw(axis: "Axes", quality: Quality, when: str, color: str) -> None:
    bins = quality.bins
    axis.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    axis.plot(bins.confidence, bins.accuracy, color=color, linewidth=1.5, alpha=0.6)
    axis.scatter(bins.confidence, bins.accuracy, s=20 + 600 * bins.share, color=color, alpha=0.8)
    axis.set_title(
        f"{when}: ECE {quality.ece:.4f}, log loss {quality.log_loss:.4f}, temperature {quality.temperature:.3g}",
        loc="left",
        fontsize=9,
        color=INK,
    )
    axis.set_xlabel("probability of the answer", fontsize=9, color=QUIET)
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    axis.grid(color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=QUIET, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(AXIS)
