"""show_curves: loss, the metric that decides, and the learning rate over optimizer steps."""

from collections.abc import Sequence
from math import isfinite

from bert_playground.run_record import EvaluationRow, RunRecord
from bert_playground.training.report.blocks import Block, Figure, Figures, Table, spell_number
from bert_playground.training.report.overview import headline
from bert_playground.training.report.svg import Chart, Point, Range

STEPS = "optimizer step"
MOST_ROWS = 200  # of the table of evaluations


def show_curves(record: RunRecord) -> list[Block]:
    """The curves of one model; a run of several has those of its members."""
    if not record.steps and not record.evaluations:
        return []
    figures = [_draw_losses(record), _draw_metric(record), _draw_rate(record)]
    blocks: list[Block] = [Figures(tuple(figure for figure in figures if figure is not None))]
    if record.evaluations:
        blocks.append(_tabulate(record.evaluations))
    return blocks


def _finite(points: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in points if isfinite(y)]


def _draw_losses(record: RunRecord) -> Figure | None:
    trained = _finite([(row.step, row.loss) for row in record.steps])
    validated = _metric_points(record, "val_loss")
    if not trained and not validated:
        return None
    points = [*trained, *validated]
    said = "loss over steps"
    if validated:
        said = f"validation loss from {spell_number(validated[0][1])} to {spell_number(validated[-1][1])}"
        lowest = min(validated, key=lambda point: point[1])
        said += f", lowest {spell_number(lowest[1])} at step {lowest[0]:g}"
    chart = Chart(f"Loss: {said}.", _steps(points), Range.of(*(y for _, y in points)), STEPS)
    chart.line(trained, 1, "training")
    chart.line(validated, 2, "validation")
    chart.dots(validated, 2)
    if record.summary.best_step:
        chart.mark(record.summary.best_step, "best")
    return Figure(chart.to_svg(), f"Loss: {said}.")


def _draw_metric(record: RunRecord) -> Figure | None:
    name = headline(record)
    if name is None and record.evaluations:
        name = next((each for each in record.evaluations[-1].metrics if each != "val_loss"), None)
    points = [] if name is None else _metric_points(record, name)
    if name is None or not points or name == "val_loss":
        return None
    shown = name.removeprefix("val_")
    said = f"{shown} from {spell_number(points[0][1])} to {spell_number(points[-1][1])}"
    chart = Chart(f"Validation {said}.", _steps(points), Range.of(*(y for _, y in points)), STEPS)
    chart.line(points, 2)
    chart.dots(points, 2)
    if record.summary.best_step:
        chart.mark(record.summary.best_step, "best")
    return Figure(chart.to_svg(), f"Validation {said}.")


def _draw_rate(record: RunRecord) -> Figure | None:
    points = _finite([(row.step, row.learning_rate) for row in record.steps])
    if len(points) < 2:
        return None
    most = max(rate for _, rate in points)
    chart = Chart(
        f"Learning rate: at most {most:.3g}.", _steps(points), Range(0.0, most * 1.05 or 1.0), STEPS
    )
    chart.line(points, 3)
    return Figure(chart.to_svg(), f"Learning rate: at most {most:.3g}.")


def _metric_points(record: RunRecord, name: str) -> list[Point]:
    rows = [row for row in record.evaluations if name in row.metrics]
    return _finite([(row.step, row.metrics[name]) for row in rows])


def _steps(points: Sequence[Point]) -> Range:
    return Range(0.0, max(1.0, max(step for step, _ in points)) * 1.02)


def _tabulate(evaluations: Sequence[EvaluationRow]) -> Table:
    names = list(evaluations[-1].metrics)
    rows = tuple(
        (
            row.epoch,
            row.step,
            row.train_loss,
            *(row.metrics.get(name) for name in names),
            row.seconds,
        )
        for row in evaluations[-MOST_ROWS:]
    )
    columns = (
        "epoch",
        "step",
        "training loss",
        *(name.removeprefix("val_") for name in names),
        "seconds",
    )
    which = (
        "Every evaluation" if len(evaluations) <= MOST_ROWS else f"The last {MOST_ROWS} evaluations"
    )
    return Table(which, columns, rows, is_folded=True)
