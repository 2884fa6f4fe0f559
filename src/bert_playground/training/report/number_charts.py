"""show_numbers: answers against the truth, residuals, and errors by the size of the target."""

import numpy as np

from bert_playground.training.report.answers import Answers, Array
from bert_playground.training.report.blocks import Block, Figure, Figures, Table, spell_number
from bert_playground.training.report.svg import Chart, Range

MOST_DOTS = 800
NUM_BINS, NUM_PARTS = 24, 5


def show_numbers(answers: Answers) -> list[Block]:
    """The charts and tables of numbers; the steps of a series together, and each by itself."""
    truth, answered = answers.numbers
    steps = _tabulate_steps(answers, truth, answered) if truth.ndim == 2 else None
    truth, answered = truth.ravel(), answered.ravel()
    figures = (_draw_scatter(answers.target, truth, answered), _draw_residuals(truth, answered))
    parts = _tabulate_parts(answers.target, truth, answered)
    return [Figures(figures), *([parts] if parts else []), *([steps] if steps else [])]


def _draw_scatter(target: str, truth: Array, answered: Array) -> Figure:
    rows = np.unique(np.linspace(0, len(truth) - 1, MOST_DOTS).astype(np.int64))
    span = Range.of(*(float(edge(each)) for each in (truth, answered) for edge in (np.min, np.max)))
    bound = (
        float(np.corrcoef(truth, answered)[0, 1]) if np.ptp(truth) and np.ptp(answered) else None
    )
    said = "no correlation is defined" if bound is None else f"correlation {bound:.4f}"
    chart = Chart(f"Answers against true values: {said}.", span, span, f"true {target}", "answered")
    chart.guide((span.start, span.start), (span.end, span.end))
    chart.dots(list(zip(truth[rows].tolist(), answered[rows].tolist(), strict=True)), 1, 2.5)
    drawn = "" if len(rows) == len(truth) else f", {len(rows)} of {len(truth)} drawn"
    return Figure(
        chart.to_svg(),
        f"Answers against the truth{drawn}: {said}. On the dashed line they are equal.",
    )


def _draw_residuals(truth: Array, answered: Array) -> Figure:
    errors = answered - truth
    low, high = np.quantile(errors, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    heights, edges = np.histogram(np.clip(errors, low, high), NUM_BINS, (low, high))
    middle, mean = float(np.median(errors)), float(errors.mean())
    said = (
        f"half of the errors lie above {spell_number(middle)}, their mean is {spell_number(mean)}"
    )
    chart = Chart(
        f"Histogram of answer minus truth: {said}.",
        Range(float(low), float(high)),
        Range(0.0, float(heights.max()) * 1.1),
        "answer minus truth",
        "rows",
    )
    chart.bars(edges.tolist(), heights.tolist(), 1)
    if low < 0 < high:
        chart.mark(0.0, "0")
    return Figure(
        chart.to_svg(),
        f"Residuals: {said}; the outermost half percent on each side stands at the edge.",
    )


def _tabulate_parts(target: str, truth: Array, answered: Array) -> Table | None:
    """Errors of a fifth of the rows each, by the size of the target."""
    edges = np.unique(np.quantile(truth, np.linspace(0, 1, NUM_PARTS + 1)))
    if len(edges) < 3:
        return None
    place = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for part in range(len(edges) - 1):
        errors = (answered - truth)[place == part]
        if len(errors):
            rows.append(
                (
                    f"{edges[part]:,.6g} to {edges[part + 1]:,.6g}",
                    len(errors),
                    float(np.sqrt(np.square(errors).mean())),
                    float(np.abs(errors).mean()),
                    float(errors.mean()),
                )
            )
    columns = (f"true {target}", "rows", "rmse", "mae", "mean of answer minus truth")
    return Table(f"Errors by the size of {target}", columns, tuple(rows))


def _tabulate_steps(answers: Answers, truth: Array, answered: Array) -> Table:
    errors = answered - truth
    rows = tuple(
        (
            name,
            float(np.sqrt(np.square(errors[:, step]).mean())),
            float(np.abs(errors[:, step]).mean()),
        )
        for step, name in enumerate(answers.names)
    )
    return Table("Each step", ("step", "rmse", "mae"), rows)
