"""Page: a report read back as a browser would, for tests."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br", "img", "input", "hr", "base", "source"}


@dataclass
class Table:
    """Caption, headings and rows; a number is what its `data` element says in full."""

    caption: str = ""
    rows: list[list[float | str]] = field(default_factory=list)

    def row(self, name: str) -> list[float | str]:
        """The cells behind the first row of that name."""
        return next(row[1:] for row in self.rows if row[0] == name)


class Page(HTMLParser):
    """Tags with their attributes, the tables, and the text of each section."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[Table] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self._section = ""
        self._cell: list[str] | None = None
        self._value: float | None = None
        self.feed(html)
        assert self._open == [], f"not closed: {self._open}"

    @classmethod
    def read(cls, path: Path) -> "Page":
        return cls(path.read_text(encoding="utf-8"))

    def table(self, start: str) -> Table:
        """The first table whose caption begins so."""
        return next(table for table in self.tables if table.caption.startswith(start))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = found.get("id") or "faults"
        if tag == "table":
            self.tables.append(Table())
        if tag == "tr":
            self.tables[-1].rows.append([])
        if tag in ("th", "td", "caption"):
            self._cell, self._value = [], None
        if tag == "data":
            self._value = float(found["value"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "caption":
            self.tables[-1].caption = "".join(self._cell).strip()
        if tag in ("th", "td"):
            text = "".join(self._cell).strip()
            self.tables[-1].rows[-1].append(text if self._value is None else self._value)
        if tag in ("th", "td", "caption"):
            self._cell = None
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._section] = self.texts.get(self._section, "") + data
        if self._cell is not None:
            self._cell.append(data)
