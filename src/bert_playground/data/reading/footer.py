"""doubt_footer: last lines of a table that are no records: totals, means, notes."""

import re
from pathlib import Path

import polars as pl

from bert_playground.data.reading.header import MISSING
from bert_playground.logger import logger
from bert_playground.lookup import shorten

MIN_ROWS = 5  # above a footer
MAX_FOOTERS = 3
SAMPLE_ROWS = 64  # that show what the columns hold
MOST = 0.95
FAR = 2.0  # times the largest of a sample: only so large a number is compared with the sum of its column
PRECISION = 1e-6
SIGNS = str.maketrans("", "", "$€£¥₹,%' ")  # around and inside numbers
WORD = re.compile(
    r"(?:(?:grand|sub|over|column|all)[- ]?)?(?:totals?|sums?|averages?|avg|means?|median|count|all|summe|gesamt|insgesamt|"
    r"mittelwert|durchschnitt|total général|somme|moyenne|suma|totale)\b[^\w]*(?:\([^)]*\))?[^\w]*",
    re.IGNORECASE,
)


def doubt_footer(path: Path, frame: pl.DataFrame, first_row: int = 0) -> None:
    """Say which of the last rows of a table seem to be no records; they stay.

    Args:
        path: named in what is said.
        frame: the rows, or the last of them, all cells as text.
        first_row: how many rows stand before them.
    """
    footers = []
    for place in range(frame.height - 1, max(MIN_ROWS, frame.height - MAX_FOOTERS) - 1, -1):
        why = _read_row(frame, place)
        if why is None:
            break
        footers.append((place, why))
    if not footers:
        return
    said = [
        f"row {first_row + place + 1} ({shorten([repr(cell or '') for cell in frame.row(place)], 5)}) {why}"
        for place, why in reversed(footers)
    ]
    what = "a footer" if len(footers) == 1 else "footers"
    logger.warning(
        f"{path}: {'; '.join(said)}: it reads like {what}, counted from 1 below the header, and is kept as one of the rows; "
        "if it is none, remove it from the end of the file"
    )


def _read_row(frame: pl.DataFrame, place: int) -> str | None:
    """Why a row seems to be a footer of those above it; None: it seems to be one of them."""
    cells = [(cell or "").strip() for cell in frame.row(place)]
    filled = [i for i, cell in enumerate(cells) if cell.lower() not in MISSING]
    if not filled:
        return None
    step = -(-place // SAMPLE_ROWS)
    sample = frame[:place][::step]
    columns = [
        [v for c in each.to_list() if (v := (c or "").strip())] for each in sample.iter_columns()
    ]
    usual = [i for i, known in enumerate(columns) if len(known) >= MOST * sample.height]
    gaps = [i for i in usual if i not in filled]
    first = filled[0]
    name = cells[first]
    sums = _find_sums(frame, place, cells, columns)
    if WORD.fullmatch(name) and name not in columns[first]:
        is_foreign = _are_numbers(columns[first]) or bool(sums) or _is_far(cells, columns)
        return f"begins with {name!r}" if gaps or is_foreign else None
    numbers = [i for i in filled if _to_number(cells[i]) is not None]
    is_all = len(sums) == len(numbers) and set(numbers) == set(filled)
    if len(sums) >= 2 or (sums and is_all and gaps):
        return f"has the sum of {shorten(map(repr, sums), 3)}"
    if len(filled) == 1 and len(gaps) >= 2:
        return "has a value in one column alone"
    return None


def _find_sums(
    frame: pl.DataFrame, place: int, cells: list[str], columns: list[list[str]]
) -> list[str]:
    """The columns whose cell is the sum of those above it."""
    found = []
    for name, cell, known in zip(frame.columns, cells, columns, strict=True):
        if not _is_far_number(cell, known):
            continue
        plain = frame[name][:place].str.replace_all(r"[^0-9.eE+-]", "")
        total = float(plain.cast(pl.Float64, strict=False).sum())
        number = _to_number(cell)
        if number is not None and abs(total - number) <= PRECISION * abs(number) + 0.006:
            found.append(name)
    return found


def _is_far(cells: list[str], columns: list[list[str]]) -> bool:
    return any(_is_far_number(cell, known) for cell, known in zip(cells, columns, strict=True))


def _is_far_number(cell: str, known: list[str]) -> bool:
    """Whether a cell is a number far beyond those of its column."""
    number = _to_number(cell)
    if number is None:
        return False
    numbers = [_to_number(each) for each in known]
    is_far = abs(number) > FAR * max((abs(each or 0.0) for each in numbers), default=0.0)
    return is_far and _are_many(numbers)


def _are_numbers(cells: list[str]) -> bool:
    return _are_many([_to_number(cell) for cell in cells])


def _are_many(numbers: list[float | None]) -> bool:
    """Whether nearly all of some cells are numbers."""
    return bool(numbers) and len(numbers) - numbers.count(None) >= MOST * len(numbers)


def _to_number(cell: str) -> float | None:
    for text in (cell, cell.translate(SIGNS)):
        try:
            return float(text)
        except ValueError:
            continue
    return None
