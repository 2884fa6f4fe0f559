"""Chart: axes, lines and dots as SVG; draw_bars, draw_matrix. Colours are those of the page, light or dark."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from bert_playground.plots import choose_ticks

WIDTH, HEIGHT = 420, 280  # of a chart; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 30, 44  # margins
MOST_POINTS = 300  # of a line
MARGIN = 0.04  # beyond the data, as a part of their range
ROW, NAME_WIDTH, MOST_LETTERS = 24, 132, 20  # of a bar
Point = tuple[float, float]


class Range(NamedTuple):
    """What an axis spans."""

    start: float
    end: float

    @classmethod
    def of(cls, *values: float) -> "Range":
        """A range that holds all the values, with a margin."""
        low, high = min(values), max(values)
        margin = (high - low) * MARGIN or abs(high) * MARGIN or MARGIN
        return cls(low - margin, high + margin)

    def place(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        return (value - self.start) / (self.end - self.start)


class Chart:
    """A chart with a scale in x and one in y.

    Series are named by numbers from 1 on, which are colours of the page; each has another dash as well.

    Args:
        said: what the chart shows, in a sentence for those who do not see it.
        x: what the x axis spans.
        y: likewise.
        x_label: stands below the axis.
        y_label: stands above the axis.
    """

    def __init__(self, said: str, x: Range, y: Range, x_label: str, y_label: str = "") -> None:
        self.said, self.x, self.y = said, x, y
        self._parts: list[Markup] = []
        self._legend: list[tuple[int, str]] = []
        for value, label in choose_ticks(*y):
            height = self._height(value)
            self._line("grid", (LEFT, height), (WIDTH - RIGHT, height))
            self._text(LEFT - 6, height + 4, label, "end")
        for value, label in choose_ticks(*x):
            self._text(self._across(value), HEIGHT - BOTTOM + 18, label, "middle")
        bottom = HEIGHT - BOTTOM
        self._line("axis", (LEFT, bottom), (WIDTH - RIGHT, bottom))
        self._text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle")
        if y_label:
            self._text(6, 18, y_label, "start")

    def line(self, points: Sequence[Point], series: int, name: str = "") -> None:
        """Connect the points; `name` is for the legend."""
        if not points:
            return
        placed = " ".join(
            f"{self._across(x):.1f},{self._height(y):.1f}" for x, y in thin_out(points)
        )
        self._parts.append(
            Markup('<polyline class="line s{}" points="{}"/>').format(series, placed)
        )
        if name:
            self._legend.append((series, name))

    def dots(
        self, points: Sequence[Point], series: int, radii: Sequence[float] | float = 3.5
    ) -> None:
        """A filled circle at each of the points."""
        sizes = [radii] * len(points) if isinstance(radii, float | int) else radii
        for (x, y), radius in zip(points, sizes, strict=True):
            self._parts.append(
                Markup('<circle class="dot s{}" cx="{}" cy="{}" r="{}"/>').format(
                    series, f"{self._across(x):.1f}", f"{self._height(y):.1f}", f"{radius:.1f}"
                )
            )

    def bars(self, edges: Sequence[float], heights: Sequence[float], series: int) -> None:
        """A histogram: one more edge than heights."""
        zero = self._height(max(0.0, self.y.start))
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            start, end, top = self._across(left), self._across(right), self._height(height)
            self._parts.append(
                Markup('<rect class="bar s{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    series,
                    f"{start:.1f}",
                    f"{top:.1f}",
                    f"{max(0.5, end - start - 1):.1f}",
                    f"{max(0.0, zero - top):.1f}",
                )
            )

    def guide(self, start: Point, end: Point) -> None:
        """A dashed line that data are compared with."""
        places = [(self._across(x), self._height(y)) for x, y in (start, end)]
        self._line("guide", *places)

    def mark(self, x: float, label: str) -> None:
        """A dashed line from top to bottom with a word at its head."""
        across = self._across(x)
        self._line("guide", (across, TOP), (across, HEIGHT - BOTTOM))
        is_right = self.x.place(x) > 0.6
        self._text(
            across + (-4 if is_right else 4), TOP + 10, label, "end" if is_right else "start"
        )

    def to_svg(self) -> Markup:
        """The whole chart."""
        legend, right = [], float(WIDTH - RIGHT)
        for series, name in reversed(self._legend):
            right -= 7.5 * len(name) + 34
            legend.append(
                Markup('<line class="line s{}" x1="{}" y1="14" x2="{}" y2="14"/>').format(
                    series, right, right + 20
                )
            )
            legend.append(_text(right + 25, 18, name, "start"))
        return wrap([*self._parts, *legend], WIDTH, HEIGHT, self.said)

    def _line(self, kind: str, start: Point, end: Point) -> None:
        numbers = [f"{value:.1f}" for value in (*start, *end)]
        self._parts.append(
            Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, *numbers)
        )

    def _text(self, x: float, y: float, text: str, anchor: str) -> None:
        self._parts.append(_text(x, y, text, anchor))

    def _across(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * self.x.place(value)

    def _height(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.y.place(value)


class Bar(NamedTuple):
    """A value by name, with its standard error where it has one."""

    name: str
    value: float
    error: float = 0.0
    shown: str = ""  # what stands behind the bar


def draw_bars(said: str, bars: Sequence[Bar], series: int = 1) -> Markup:
    """Bars from zero to the right or left, one below the other, with their standard errors as lines."""
    ends = [bar.value + sign * bar.error for bar in bars for sign in (-1, 1)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    span = Range(low, high if high > low else low + 1)
    left, right = NAME_WIDTH + 8, WIDTH - 76
    parts = []

    def across(value: float) -> float:
        return left + (right - left) * span.place(value)

    for number, bar in enumerate(bars):
        middle = ROW * number + ROW / 2 + 2
        start, end = sorted((across(0.0), across(bar.value)))
        name = (
            bar.name
            if len(bar.name) <= MOST_LETTERS
            else f"{bar.name[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
        )
        parts += [
            _text(NAME_WIDTH, middle + 4, name, "end", "ink"),
            Markup('<rect class="bar s{}" x="{}" y="{}" width="{}" height="14"/>').format(
                series, f"{start:.1f}", f"{middle - 7:.1f}", f"{max(1.0, end - start):.1f}"
            ),
            _text(right + 8, middle + 4, bar.shown, "start"),
        ]
        if bar.error:
            parts.append(
                Markup('<line class="whisker" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                    *(
                        f"{value:.1f}"
                        for value in (
                            across(bar.value - bar.error), middle,
                            across(bar.value + bar.error), middle,
                        )
                    )
                )
            )  # fmt: skip
    height = ROW * len(bars) + 6
    zero = f"{across(0.0):.1f}"
    parts.append(
        Markup('<line class="axis" x1="{0}" y1="0" x2="{0}" y2="{1}"/>').format(zero, height)
    )
    return wrap(parts, WIDTH, height, said)


def draw_matrix(said: str, names: Sequence[str], counts: np.ndarray) -> Markup:
    """Counts [K, K]: a row for what is true, a column for what was answered; shaded by their share of the row.

    Args:
        said: what the chart shows, in a sentence for those who do not see it.
        names: of the classes.
        counts: of rows.
    """
    size, left, top = len(names), 96, 58
    side = (WIDTH - left - 8) / size
    height_of_row = min(side, 56.0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    most = 8 if size <= 6 else 4
    parts = [
        _text(left + (WIDTH - left) / 2, 16, "answered", "middle"),
        _text(left - 8, top - 8, "true", "end"),
    ]
    for column, name in enumerate(names):
        middle = left + side * (column + 0.5)
        parts.append(_text(middle, top - 8, _cut(name, max(2, int(side / 7))), "middle", "ink"))
    for row, name in enumerate(names):
        y = top + height_of_row * row
        parts.append(_text(left - 8, y + height_of_row / 2 + 4, _cut(name, 12), "end", "ink"))
        for column in range(size):
            x, count = left + side * column, int(counts[row, column])
            kind = "s1" if row == column else "s2"
            parts.append(
                Markup(
                    '<rect class="cell {}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>'
                ).format(
                    kind,
                    f"{x:.1f}",
                    f"{y:.1f}",
                    f"{side - 2:.1f}",
                    f"{height_of_row - 2:.1f}",
                    f"{0.06 + 0.44 * shares[row, column]:.2f}",
                )
            )
            if len(str(count)) <= most or count == 0:
                parts.append(
                    _text(x + side / 2 - 1, y + height_of_row / 2 + 4, str(count), "middle", "ink")
                )
    return wrap(parts, WIDTH, top + height_of_row * size + 6, said)


def wrap(parts: Sequence[Markup], width: float, height: float, said: str) -> Markup:
    """An SVG picture of its parts, with what it shows in words."""
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="xMinYMin meet">{}</svg>'
    ).format(f"{width:g}", f"{height:g}", said, Markup("").join(parts))


def thin_out(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many of the points, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    numbers = np.unique(np.linspace(0, len(points) - 1, most).round().astype(np.int64))
    return [points[number] for number in numbers]


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, f"{x:.1f}", f"{y:.1f}", anchor, escape(text)
    )


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
