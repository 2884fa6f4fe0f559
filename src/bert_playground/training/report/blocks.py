"""Blocks: what a section of the page is made of: paragraphs, tables, charts, rows with their text, commands."""

from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

Cell = str | float | int | None


def spell_number(value: float) -> str:
    """Four decimals of usual numbers, one of large ones, four digits of very small ones."""
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.4f}"
    return f"{value:,.1f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Notes:
    """A list of findings, each a sentence."""

    kind: ClassVar[str] = "notes"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first cell of each row is its name."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_folded: bool = False  # whether it is shown only when asked for


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Figures:
    """Charts side by side where there is room."""

    kind: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Piece:
    """A part of a row's text.

    Attributes:
        text: as the model read it.
        weight: how much it spoke for the answer (above 0) or against it, -1 to 1; None: nobody knows.
        is_cut: whether the row was too long for it, so that the model did not read it.
        name: of the column.
    """

    text: str
    weight: float | None = None
    is_cut: bool = False
    name: str = ""

    @property
    def level(self) -> int:
        """How strongly it is coloured, 0 to 4; parts that hardly matter are not."""
        return 0 if self.weight is None else round(4 * abs(self.weight))


@dataclass(frozen=True)
class RowCard:
    """One row: what was answered, what is true, and the text."""

    title: str
    answer: str
    truth: str
    loss: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Cards:
    """Rows with their text."""

    kind: ClassVar[str] = "cards"
    loss_name: str
    cards: tuple[RowCard, ...]


@dataclass(frozen=True)
class Commands:
    """What to type next, each with what it does."""

    kind: ClassVar[str] = "commands"
    lines: tuple[tuple[str, str], ...]


Block = Text | Notes | Table | Figures | Cards | Commands


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
