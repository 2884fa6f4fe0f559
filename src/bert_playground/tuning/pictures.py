"""draw_history, draw_importances, draw_parallel: a study as pictures of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from bert_playground.training.report.blocks import Figure
from bert_playground.training.report.svg import Bar, Chart, Range, draw_bars, wrap
from bert_playground.tuning.space import Choice, Dimension, place_value

Trial = Mapping[str, Any]
WIDE, HIGH, EDGE, TOP, BOTTOM = 110, 300, 70, 24, 64  # of parallel coordinates
MOST_LETTERS = 13
MOST_LINES = 200


def draw_history(trials: Sequence[Trial], metric: str, higher_is_better: bool) -> Figure | None:
    """The value of each complete trial, and the best one so far."""
    points = [(float(t["trial"]), float(t["value"])) for t in trials if t["value"] is not None]
    if not points:
        return None
    best, steps = points[0][1], []
    choose = max if higher_is_better else min
    for number, value in points:
        best = choose(best, value)
        steps.append((number, best))
    said = f"{metric} of {len(points)} complete trials; the best went from {steps[0][1]:.4f} to {best:.4f}"
    last = max(1.0, points[-1][0])
    chart = Chart(f"{said}.", Range(-0.5, last + 0.5), Range.of(*(y for _, y in points)), "trial")
    chart.dots(points, 1)
    chart.line(steps, 2, "best so far")
    return Figure(chart.to_svg(), f"{said}.")


def draw_importances(importances: Mapping[str, float]) -> Figure | None:
    """What separates good trials from the others."""
    if not importances:
        return None
    bars = [
        Bar(path.partition(".")[2], value, shown=f"{value:.0%}")
        for path, value in importances.items()
    ]
    said = "Share of each setting in what separates good trials from the others (PED-ANOVA)."
    return Figure(draw_bars(said, bars), said)


def draw_parallel(
    trials: Sequence[Trial],
    dimensions: Mapping[str, Dimension],
    metric: str,
    higher_is_better: bool,
) -> Figure | None:
    """A line for each complete trial through its values, one axis for each setting; the best tenth stands out."""
    complete = [t for t in trials if t["value"] is not None][-MOST_LINES:]
    if len(complete) < 2:
        return None
    values = sorted((float(t["value"]) for t in complete), reverse=higher_is_better)
    limit = values[max(0, len(values) // 10 - 1)]
    span = Range.of(*values)
    parts: list[Markup] = []
    order = sorted(complete, key=lambda t: float(t["value"]), reverse=not higher_is_better)
    for trial in order:
        is_good = (
            float(trial["value"]) >= limit if higher_is_better else float(trial["value"]) <= limit
        )
        places = [
            place_value(each, trial["params"][path])
            for path, each in dimensions.items()
            if path in trial["params"]
        ]
        places.append(span.place(float(trial["value"])))
        if len(places) == len(dimensions) + 1:
            parts.append(_line(places, is_good=is_good))
    for number, (path, each) in enumerate(dimensions.items()):
        parts += _axis(number, path.partition(".")[2], *_ends(each))
    parts += _axis(len(dimensions), metric, f"{span.start:.4g}", f"{span.end:.4g}")
    said = f"{len(complete)} complete trials through their settings to {metric}; the best tenth is orange."
    width = 2 * EDGE + WIDE * len(dimensions)
    return Figure(wrap(parts, width, HIGH, said), said)


def _ends(dimension: Dimension) -> tuple[str, str]:
    if isinstance(dimension, Choice):
        first, last = dimension.values[0], dimension.values[-1]
        return ("none" if first is None else str(first)), ("none" if last is None else str(last))
    times = "\N{MULTIPLICATION SIGN}" if dimension.relative else ""
    return f"{times}{dimension.low:g}", f"{times}{dimension.high:g}"


def _height(place: float) -> float:
    return HIGH - BOTTOM - (HIGH - TOP - BOTTOM) * place


def _line(places: Sequence[float], *, is_good: bool) -> Markup:
    points = " ".join(
        f"{EDGE + WIDE * k:.1f},{_height(place):.1f}" for k, place in enumerate(places)
    )
    style = "stroke-width:2.5" if is_good else "stroke-width:1;stroke-opacity:.35"
    return Markup(
        '<polyline class="line s{}" style="stroke-dasharray:none;{}" points="{}"/>'
    ).format(2 if is_good else 1, style, points)


def _axis(number: int, name: str, low: str, high: str) -> list[Markup]:
    x = EDGE + WIDE * number
    line = Markup('<line class="axis" x1="{0}" y1="{1}" x2="{0}" y2="{2}"/>').format(
        x, TOP, HIGH - BOTTOM
    )
    words = ((HIGH - BOTTOM + 16, low), (TOP - 8, high), (HIGH - 14 - 16 * (number % 2), name))
    return [line, *(_text(x, y, word) for y, word in words)]


def _text(x: float, y: float, text: str) -> Markup:
    cut = (
        text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    )
    return Markup('<text class="label" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        x, y, escape(cut)
    )
