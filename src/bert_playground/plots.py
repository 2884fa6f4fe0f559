"""Figure, Axes: line plots as PNG by Pillow, and the colours of all pictures."""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import ImageFont

INK, QUIET = "#22303c", "#8a97a3"  # text; axes and marks beside it
TRAIN, VALIDATION, BEST = "#2f7ebc", "#d9622b", "#2a9d5c"
GRID, AXIS = "#e6eaee", "#c9d1d8"

PIXELS_PER_INCH, POINTS_PER_INCH = 140, 72
OVERSAMPLING = 3  # lines are drawn this much larger, then averaged
MAX_INTERVALS = 7  # between the ticks of an axis
MARGIN = 0.05  # above and below the data, as a part of their range
Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle of a figure in inches, y downwards."""

    left: float
    top: float
    right: float
    bottom: float


class Figure:
    """A white picture of lines, dots and text; positions are inches from its upper left corner, sizes points.

    matplotlib draws the same, but importing it takes longer than a tiny training.
    """

    def __init__(self, width: float, height: float) -> None:
        """Make an empty picture of so many inches."""
        from PIL import Image, ImageDraw

        self._scale = PIXELS_PER_INCH * OVERSAMPLING
        size = (round(width * PIXELS_PER_INCH), round(height * PIXELS_PER_INCH))
        self._image = Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), "white")
        self._draw = ImageDraw.Draw(self._image)
        self._texts: list[tuple[Point, str, float, str, str, bool]] = []

    def line(self, points: Sequence[Point], color: str, width: float) -> None:
        """Connect the points, with round joints."""
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        pixels = self._pixels(width)
        self._draw.line(scaled, fill=color, width=round(pixels))
        if pixels > 2 * OVERSAMPLING:  # otherwise the joints are not seen
            self._dots(scaled[1:-1], color, pixels / 2)

    def dashed(self, start: Point, end: Point, color: str, width: float) -> None:
        """A straight line of dashes, four widths long with gaps of three."""
        length = math.dist(start, end)
        dash, period = 4 * width / POINTS_PER_INCH, 7 * width / POINTS_PER_INCH
        for number in range(math.ceil(length / period)):
            parts = (number * period / length, min(1.0, (number * period + dash) / length))
            points = [
                (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
                for part in parts
            ]
            self.line(points, color, width)

    def dots(self, points: Sequence[Point], color: str, diameter: float) -> None:
        """A filled circle at each of the points."""
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._dots(scaled, color, self._pixels(diameter) / 2)

    def text(
        self, at: Point, text: str, size: float, color: str, anchor: str, *, bold: bool = False
    ) -> None:
        """Write a line; the anchor is Pillow's: "lm" for left and middle, "ma" for middle and top."""
        self._texts.append((at, text, size, color, anchor, bold))

    def save(self, path: Path) -> None:
        """Write the PNG."""
        from PIL import ImageDraw

        image = self._image.reduce(OVERSAMPLING)
        draw = ImageDraw.Draw(image)
        for (x, y), text, size, color, anchor, bold in self._texts:
            at = (x * PIXELS_PER_INCH, y * PIXELS_PER_INCH)
            font = _load_font(size * PIXELS_PER_INCH / POINTS_PER_INCH, bold=bold)
            draw.text(at, text, fill=color, font=font, anchor=anchor)
        image.save(path, format="png", compress_level=1)

    def _pixels(self, points: float) -> float:
        return points / POINTS_PER_INCH * self._scale

    def _dots(self, scaled: Sequence[Point], color: str, radius: float) -> None:
        for x, y in scaled:
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


class Axes:
    """A part of a figure with a scale in x and one in y."""

    def __init__(
        self, figure: Figure, box: Box, end: float, values: Sequence[float], start: float = 0.0
    ) -> None:
        """Draw grid and ticks for x in `start`..`end`, and y wide enough for the values."""
        self.figure, self.box, self.start, self.end = figure, box, start, end
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        margin = (high - low) * MARGIN or abs(high) * MARGIN or MARGIN
        self.low, self.high = low - margin, high + margin
        for value, label in choose_ticks(self.low, self.high):
            y = self._y(value)
            figure.line([(box.left, y), (box.right, y)], GRID, 0.8)
            figure.text((box.left - 0.05, y), label, 9, QUIET, "rm")
        for value, label in choose_ticks(start, end):
            figure.text((self._x(value), box.bottom + 0.05), label, 9, QUIET, "ma")
        figure.line([(box.left, box.bottom), (box.right, box.bottom)], AXIS, 0.8)

    def plot(
        self, points: Sequence[Point], color: str, width: float = 2, *, marked: bool = False
    ) -> None:
        """A line through the points, with dots on them where `marked`."""
        placed = self._place(points)
        self.figure.line(placed, color, width)
        if marked:
            self.figure.dots(placed, color, 4.5)

    def scatter(self, points: Sequence[Point], color: str, diameter: float = 7) -> None:
        """A dot at each of the points."""
        self.figure.dots(self._place(points), color, diameter)

    def mark(self, point: Point, color: str) -> None:
        """A large dot on a dashed line from top to bottom."""
        ((x, y),) = self._place([point])
        self.figure.dashed((x, self.box.top), (x, self.box.bottom), color, 1)
        self.figure.dots([(x, y)], color, 8)

    def label(self, title: str, under: str) -> None:
        """Write the title above and what x is below."""
        box = self.box
        self.figure.text((box.left, box.top - 0.08), title, 10, INK, "ls")
        middle = (box.left + box.right) / 2
        self.figure.text((middle, box.bottom + 0.23), under, 9, QUIET, "ma")

    def legend(self, entries: Sequence[tuple[str, str, bool]]) -> None:
        """Names with colours, and whether dots mark the line, in the upper right corner."""
        left = self.box.right - 1.2
        for row, (name, color, marked) in enumerate(entries):
            y = self.box.top + 0.15 + 0.19 * row
            self.figure.line([(left, y), (left + 0.26, y)], color, 2)
            if marked:
                self.figure.dots([(left + 0.13, y)], color, 4.5)
            self.figure.text((left + 0.36, y), name, 9, INK, "lm")

    def place(self, point: Point) -> Point:
        """Where a point lies in the figure, in inches."""
        return self._x(point[0]), self._y(point[1])

    def _place(self, points: Sequence[Point]) -> list[Point]:
        return [self.place(point) for point in points]

    def _x(self, value: float) -> float:
        part = (value - self.start) / (self.end - self.start)
        return self.box.left + (self.box.right - self.box.left) * part

    def _y(self, value: float) -> float:
        part = (value - self.low) / (self.high - self.low)
        return self.box.bottom - (self.box.bottom - self.box.top) * part


def fade(color: str, opacity: float) -> str:
    """The colour as it looks on white with this opacity."""
    parts = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 - opacity * (255 - part)):02x}" for part in parts)


def choose_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten within the range, and how to write them."""
    power = math.floor(math.log10((high - low) / MAX_INTERVALS))
    steps = (factor * 10.0**power for factor in (1, 2, 2.5, 5, 10))
    step = next(step for step in steps if (high - low) / step <= MAX_INTERVALS)
    values = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    largest = max(map(abs, values), default=0.0)
    if largest and not 1e-3 <= largest < 1e6:
        digits = math.floor(math.log10(largest)) - power + 2  # a factor of 2.5 has two of its own
        return [(value, f"{value:.{digits}g}") for value in values]
    decimals = next((d for d in range(12) if math.isclose(round(step, d), step)), 12)
    return [(value, f"{value:.{decimals}f}") for value in values]


def _load_font(pixels: float, *, bold: bool) -> "ImageFont.ImageFont | ImageFont.FreeTypeFont":
    """The font that matplotlib carries, for it knows more letters than Pillow's own."""
    from PIL import ImageFont

    matplotlib = find_spec("matplotlib")  # found, not imported
    if matplotlib is not None and matplotlib.origin:
        fonts = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf"
        file = fonts / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
        if file.is_file():
            return ImageFont.truetype(file, pixels)
    return ImageFont.load_default(pixels)
