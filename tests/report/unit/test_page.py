"""The look of the page: colours that can be told from their ground in light and dark, charts that stay inside."""

import re
from pathlib import Path

import numpy as np
import pytest

from bert_playground.training.report import page
from bert_playground.training.report.blocks import Piece, spell_number
from bert_playground.training.report.svg import (
    Bar,
    Chart,
    Range,
    draw_bars,
    draw_matrix,
    thin_out,
)

STYLE = (Path(page.__file__).parent / "report.css").read_text()
SCHEMES = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)


def colours(scheme: int) -> dict[str, tuple[float, ...]]:
    found = re.findall(r"--(\w+): #(\w{6})", SCHEMES[scheme])
    return {
        name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, value in found
    }


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Of WCAG 2.2, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_charts_stand_out(scheme):
    known = colours(scheme)
    for ground in ("page", "card"):
        for text in ("ink", "quiet", "link"):
            assert contrast(known[text], known[ground]) >= 4.5, (text, ground)
        for mark in ("s1", "s2", "s3", "s4"):
            assert contrast(known[mark], known[ground]) >= 3, (mark, ground)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_on_the_strongest_colour_can_be_read(scheme):
    known = colours(scheme)
    for name in ("for", "against"):
        rgb = re.search(rf"--{name}: (\d+), (\d+), (\d+)", SCHEMES[scheme]).groups()
        share = float(
            re.search(rf"mark\.{name}\.l4 {{ background: rgba\(var\(--{name}\), ([\d.]+)\)", STYLE)[
                1
            ]
        )
        ground = tuple(
            share * int(c) / 255 + (1 - share) * k for c, k in zip(rgb, known["card"], strict=True)
        )
        assert contrast(known["ink"], ground) >= 4.5
    for series in ("s1", "s2"):  # the fullest cell of a matrix
        ground = tuple(0.5 * c + 0.5 * k for c, k in zip(known[series], known["card"], strict=True))
        assert contrast(known["ink"], ground) >= 4.5


def numbers_of(svg: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'\b{name}="(-?[\d.]+)"', svg)]


def test_a_chart_stays_inside_its_box():
    chart = Chart("A line.", Range(0, 10), Range.of(-5, 5), "x", "y")
    chart.line([(0, -5), (10, 5)], 1, "rises")
    chart.dots([(5, 0)], 2)
    chart.bars([0, 5, 10], [1, 4], 3)
    chart.mark(9, "late")
    svg = str(chart.to_svg())
    assert all(0 <= x <= 420 for name in ("x", "x1", "x2", "cx") for x in numbers_of(svg, name))
    assert all(0 <= y <= 280 for name in ("y", "y1", "y2", "cy") for y in numbers_of(svg, name))
    assert 'points="58.0,' in svg


def test_words_in_charts_are_text():
    bars = draw_bars('"Rooms" & <more>', [Bar("<b>&", 1.0, 0.2, "+1"), Bar("x" * 40, -1.0)])
    assert "<b>" not in bars
    assert 'aria-label="&#34;Rooms&#34; &amp; &lt;more&gt;"' in bars
    matrix = draw_matrix("m", ["<i>", "b"], np.array([[3, 1], [0, 2]]))
    assert "<i>" not in matrix
    assert [int(n) for n in re.findall(r">(\d+)</text>", matrix)] == [3, 1, 0, 2]


def test_long_lines_are_thinned_and_keep_their_ends():
    points = [(float(i), float(i % 7)) for i in range(5000)]
    thin = thin_out(points)
    assert len(thin) <= 300
    assert (thin[0], thin[-1]) == (points[0], points[-1])
    assert thin_out(points[:5]) == points[:5]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.81234567, "0.8123"), (1234.5678, "1,234.6"), (12, "12"), (0.0, "0.0000"), (3e-5, "3e-05"), (12345, "12,345")],
)  # fmt: skip
def test_numbers_are_short_and_whole(value, text):
    assert spell_number(value) == text
    assert page.show_number(value) == f'<data value="{value!r}">{text}</data>'


def test_pieces_are_coloured_by_their_weight():
    assert [Piece("a", weight).level for weight in (None, 0.05, -0.3, 0.6, -1.0)] == [0, 0, 1, 2, 4]
