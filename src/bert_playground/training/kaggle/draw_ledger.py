"""draw_ledger: the picture of out-of-fold scores against the public leaderboard."""

from collections.abc import Sequence
from pathlib import Path

from bert_playground.files import replaced_file
from bert_playground.plots import BEST, QUIET, TRAIN, Axes, Box, Figure, Point

WIDTH, HEIGHT = 6.0, 4.6  # inches
SCATTER = Box(0.9, 0.6, 5.7, 3.9)
MARGIN = 0.08  # left and right of the data, as a part of their range


def draw_ledger(pairs: Sequence[Point], path: Path, *, title: str, metric: str) -> None:
    """Write a PNG: one dot for each submission, the last one in another colour, and the line of equal scores.

    Args:
        pairs: (out-of-fold score, public score), in order.
        path: the PNG to write.
        title: above.
        metric: of the scores.
    """
    scores = [score for score, _ in pairs]
    low, high = min(scores), max(scores)
    margin = (high - low) * MARGIN or abs(high) * MARGIN or MARGIN
    figure = Figure(WIDTH, HEIGHT)
    start, end = low - margin, high + margin
    axes = Axes(figure, SCATTER, end, [public for _, public in pairs], start)
    axes.label(title, f"out-of-fold {metric}")
    figure.text(
        (SCATTER.left, SCATTER.bottom + 0.5),
        "line: public score = out-of-fold score",
        8,
        QUIET,
        "la",
    )
    first, last = max(start, axes.low), min(end, axes.high)
    if first < last:
        axes.plot([(first, first), (last, last)], QUIET, 1)
    axes.scatter(pairs, TRAIN)
    axes.scatter(pairs[-1:], BEST)
    with replaced_file(path) as temporary:
        figure.save(temporary)
