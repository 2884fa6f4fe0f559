"""Printing: tables for people, JSON for programs, errors on stderr."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

MAX_DRAWN = 200  # rows of a table with lines around it
NARROW = 60  # columns of a terminal, below which a table may be printed as blocks of lines
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line end


def print_json(content: Any) -> None:
    """Write one JSON document to stdout and nothing else; paths and numpy numbers become plain."""
    sys.stdout.write(json.dumps(content, indent=2, default=_plain) + "\n")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    keeps_names: bool = False,
) -> None:
    """Print a table; cells that are numbers stand right, the first column is the name of the row.

    Args:
        title: above it.
        columns: the headings.
        rows: the cells.
        keeps_names: whether the names of rows are to be copied, so that other columns are folded for them.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(_visible(title)), title_justify="left", title_style="bold")
    rows = [list(row) for row in rows]
    if len(rows) > MAX_DRAWN:
        _print_plain(title, columns, rows)
        return
    if _needs_room(columns, rows):
        _print_records(title, columns, rows)
        return
    for position, column in enumerate(columns):
        is_number = bool(rows) and all(
            row[position] is None or isinstance(row[position], float | int) for row in rows
        )
        table.add_column(
            column,
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=keeps_names and position == 0,
        )
    for row in rows:
        table.add_row(*(Text(spell(value)) for value in row))
    _console().print(table)


def _needs_room(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bool:
    """Whether a terminal is so narrow that several columns would be folded to a few letters each."""
    width: int = _console().width
    if width >= NARROW or len(columns) < 3:
        return False
    cells = [list(columns), *([spell(value) for value in row] for row in rows)]
    return sum(max(map(len, column)) + 3 for column in zip(*cells, strict=True)) + 1 > width


def _print_records(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for narrow terminals: a block of lines for each row, its cells one below the other."""
    lines = [title]
    for row in rows:
        name, *others = map(spell, row)
        lines.append(name)
        lines += [
            f"  {column}: {cell}" for column, cell in zip(columns[1:], others, strict=True) if cell
        ]
    print_lines(lines)


def _print_plain(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table without lines around it: drawing one of thousands of rows takes longer than what it tells."""
    cells = [list(columns), *([_visible(spell(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    sys.stdout.write("\n".join([_visible(title), *lines]) + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are: no markup, no wrapping, so that commands and paths can be copied."""
    console = _console()
    for line in lines:
        console.print(_visible(line), markup=False, highlight=False, soft_wrap=True)


def print_result(path: object) -> None:
    """The file or folder that a command made, as its last line, so that it is found and can be copied."""
    print_lines(["", str(path)])


def print_error(message: str, notes: Iterable[str] = ()) -> None:
    """One red message on stderr, then notes about what to do."""
    from rich.console import Console

    console = Console(stderr=True)
    console.print(
        _visible(f"error: {message}"), style="red", markup=False, highlight=False, soft_wrap=True
    )
    for note in notes:
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)


def program() -> str:
    """How this program was called, for commands to copy."""
    return "uv run bert" if "UV_RUN_RECURSION_DEPTH" in os.environ else "bert"


def say(message: str) -> None:
    """One remark on stderr, where it disturbs no output."""
    sys.stderr.write(message + "\n")


def _console() -> Any:
    from rich.console import Console

    return Console()


def spell(value: object) -> str:
    """A table's cell: four digits of a small number, no exponent for a large one, nothing for None."""
    if isinstance(value, float):
        return f"{value:,.1f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"
    return "" if value is None else _visible(str(value))


def spell_setting(value: object) -> str:
    """A value of a configuration as YAML would spell it; nothing for None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spell_setting, value))}]"
    return "" if value is None else str(value)


def _visible(text: str) -> str:
    """Text without the signs that would command a terminal, such as the escape before a colour: tables may hold any."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
