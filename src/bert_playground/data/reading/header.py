"""require_header_first, doubt_header: lines of a CSV that are no records, and a first record in place of the header."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from statistics import quantiles

import polars as pl

from bert_playground.logger import logger
from bert_playground.lookup import shorten

DELIMITERS = (",", ";", "\t", "|")
NAMELESS = "Unnamed: "
SAMPLE_RECORDS, SAMPLE_ROWS = 60, 500
# Of a wide table: fewer rows, but as many as a name needs to be told from cells.
SAMPLE_CELLS = 100_000
SAMPLE_LETTERS = 100_000
MIN_LETTERS = 3  # in a row, from A on: by chance a record hardly ever has them
MIN_VALUES = 5  # of a column, to tell what it holds
LONG_NAME = 60  # letters
MOST = 0.95
MISSING = ("", "?", "-", "nan", "null", "na", "n/a", "#n/a", "none")
COMMENTS = ("#", "//", "%", "--", "sep=")
NUMBER = re.compile(r"[-+(]?\s*[$€£¥]?\s*[0-9][0-9,.' ]*(?:[eE][-+]?[0-9]+)?\s*[%€)]?")
DATE = re.compile(
    r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?:[ T].*)?|[0-9]{1,2}:[0-9]{2}(?::[0-9.]+)?"
)
_Record = tuple[int, list[str]]  # the line on which it begins, and its cells


class Reading(Enum):
    """How the name of a column reads beside its cells."""

    VALUE = "one of the cells"
    TEXT = "a text like the cells"
    UNCLEAR = "either"
    NAME = "no cell, but it could be one"
    FOREIGN = "no cell: a word over numbers or dates"


def require_header_first(path: Path, text: str, delimiter: str) -> None:
    """Check that no title, comment or line of bare delimiters stands above the header.

    Args:
        path: named in the error.
        text: of the file; its beginning is looked at.
        delimiter: that the first line has most of.

    Raises:
        ValueError: the first line reads as no header, and a later one does; says which, and how to remove the rest.
    """
    records = _first_records(text, _sniff_below(text, delimiter))
    if len(records) < 3:
        return
    start, first = records[0]
    width, count = Counter(len(cells) for _, cells in records[1:]).most_common(1)[0]
    is_even = width > 1 and count >= 0.8 * (len(records) - 1)
    if not is_even or not _is_strange(first, width):
        return
    for place, (line, cells) in enumerate(records[1:], 1):
        below = [below for _, below in records[place + 1 :] if len(below) == width]
        if len(cells) != width or not _is_header(cells, below):
            continue
        above = text.split("\n")[start - 1].strip()
        raise ValueError(
            f"{path} seems to have its header on line {line} ({shorten(map(repr, cells), 5)}), below "
            f"{_count_lines(line - 1)} such as {above[:60]!r}; if the first line is no header, remove it and all lines "
            f"above line {line}: tail -n +{line} {path} > table.csv"
        )


def doubt_header(path: Path, names: Sequence[str], frame: pl.DataFrame) -> None:
    """Check that the first line of a table is not one of its rows, and that its header is there once.

    Args:
        path: named in what is said.
        names: of the columns.
        frame: the rows, or the first of them, all cells as text.

    Raises:
        ValueError: the names read as a row, or a row repeats them. Where that could be right, it is a warning.
    """
    _refuse_repeated(path, names, frame)
    sample = frame[: min(SAMPLE_ROWS, max(SAMPLE_RECORDS, SAMPLE_CELLS // max(1, frame.width)))]
    columns = [column.drop_nulls().to_list() for column in sample.iter_columns()]
    readings, letters = _read_names(names, columns)
    named = [name for name in names if not _is_nameless(name)]
    counts = Counter(readings)
    values, texts = counts[Reading.VALUE], counts[Reading.TEXT]
    shown = shorten([repr(name[:LONG_NAME]) for name in named], 5)
    remedy = "if that is a row, put the names of the columns above it"
    is_row = not counts[Reading.FOREIGN] and values + texts > counts[Reading.NAME]
    fractions = [name for name in names if re.fullmatch(r"-?[0-9]+\.[0-9]+", name)]
    if is_row and values and not counts[Reading.NAME] and 2 * (values + texts) >= len(named):
        examples = [n for n, r in zip(names, readings, strict=True) if r is Reading.VALUE]
        raise ValueError(
            f"{path} seems to have no header: its first line ({shown}) reads like the rows below it, as "
            f"{shorten([repr(name[:LONG_NAME]) for name in examples], 3)} would be a cell of its own column; {remedy}, such as "
            f"{_join(f'column{i + 1}' for i in range(len(names)))}; if it is the header, write names there that are no "
            f"cells of their columns, such as {_join(f'{name}_' for name in names)}"
        )
    if is_row or letters:
        logger.warning(
            f"{path} has names of columns that read like cells ({shown}): its first line is read as the header; {remedy}"
        )
    elif fractions:
        logger.warning(
            f"{path} has numbers for column names ({shorten(fractions, 3)}): its first line is read as the header; {remedy}"
        )
    nameless = [
        name for name, cells in zip(names, columns, strict=True) if cells and _is_nameless(name)
    ]
    if len(nameless) > 1 and len(nameless) >= len(named):
        logger.warning(
            f"{path} has no name for {len(nameless)} of its {len(names)} columns: its first line is read as the header; if "
            "another line is, remove those above it"
        )
    _doubt_first_row(path, sample, columns)


def _read_names(
    names: Sequence[str], columns: Sequence[Sequence[str]]
) -> tuple[list[Reading], list[str]]:
    """How each name reads, and which letters of those that count columns would be cells."""
    readings = [_read_name(name, column) for name, column in zip(names, columns, strict=True)]
    counting = _count_letters(names)
    letters = [
        n for n, r in zip(names, readings, strict=True) if r is Reading.VALUE and n in counting
    ]
    has_numbers = _doubt_numbers(names)
    unclear = {name for name in names if name in letters or (has_numbers and _is_number(name))}
    pairs = zip(names, readings, strict=True)
    return [Reading.UNCLEAR if name in unclear else reading for name, reading in pairs], letters


def _join(names: Iterable[str]) -> str:
    first = [*itertools.islice(names, 5)]
    return ",".join(first[:4]) + (",…" if len(first) > 4 else "")


def hint_at_header(names: Sequence[str]) -> str:
    """What to add to an error about names of which some are no names: numbers, dates or long texts."""
    if any(_is_number(name) or _is_date(name) or len(name.split()) > 3 for name in names):
        return "; if the first line is a row, put the names of the columns above it"
    return ""


def _count_lines(count: int) -> str:
    return "a line that is none," if count == 1 else f"{count} lines that are none,"


def _refuse_repeated(path: Path, names: Sequence[str], frame: pl.DataFrame) -> None:
    """Raise where a row repeats the header: files that were written one below the other."""
    if frame.width < 2:
        return
    last = len(names) - 1
    again = ((frame[:, 0] == names[0]) & (frame[:, last] == names[last])).fill_null(False)
    rows = [row for row in again.arg_true().to_list() if list(frame.row(row)) == list(names)]
    if rows and not _are_values(names, frame.filter(~pl.int_range(pl.len()).is_in(rows))):
        where = (
            f"row {rows[0] + 1}"
            if len(rows) == 1
            else f"rows {shorten([str(r + 1) for r in rows], 5)}"
        )
        raise ValueError(
            f"{path} repeats its header in {where}, counted from 1 below the first; several files seem to stand one below "
            "the other: remove it there, or give the files as a list or a pattern"
        )


def _are_values(names: Sequence[str], others: pl.DataFrame) -> bool:
    """Whether other rows than those with all the names have them in their columns too: then such a row is nothing special."""
    return all(bool((others[name] == name).any()) for name in names)


def _doubt_first_row(path: Path, sample: pl.DataFrame, columns: list[list[str]]) -> None:
    """Say where the first row reads as a second header, such as the units of the columns."""
    if sample.height <= MIN_VALUES:
        return
    cells = [cell or "" for cell in sample.row(0)]
    below = [column[1:] if cell else column for cell, column in zip(cells, columns, strict=True)]
    readings = Counter(_read_name(cell, column) for cell, column in zip(cells, below, strict=True))
    is_like_the_rest = readings[Reading.VALUE] or readings[Reading.TEXT]
    if readings[Reading.FOREIGN] and not is_like_the_rest:
        logger.warning(
            f"{path}: the first row ({shorten(map(repr, cells), 5)}) is unlike those below it, as a second header or a "
            "line of units would be; if it is none of the rows, remove it"
        )


def _sniff_below(text: str, delimiter: str) -> str:
    """The delimiter that the lines below the first one agree on; the given one where none is clearly better."""

    def agree(mark: str) -> tuple[bool, float]:
        widths = [len(cells) for _, cells in _first_records(text, mark)]
        if len(widths) < 3:
            return False, 0.0
        width, count = Counter(widths[1:]).most_common(1)[0]
        return width > 1, count / (len(widths) - 1)

    is_cut, share = agree(delimiter)
    if is_cut and share >= 0.8:
        return delimiter
    others = [mark for mark in DELIMITERS if mark != delimiter]
    found = [
        (share, mark) for mark in others if (cut := agree(mark))[0] and (share := cut[1]) >= 0.9
    ]
    return max(found)[1] if found else delimiter


def _first_records(text: str, delimiter: str) -> list[_Record]:
    """The first records that are no blank lines; one that the sample cuts is left out."""
    start = text[:SAMPLE_LETTERS]
    lines = start.splitlines(keepends=True)
    if len(start) < len(text):
        lines = lines[:-1]
    rows = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter)
    records, line = [], 1
    try:
        for cells in itertools.islice(rows, SAMPLE_RECORDS):
            if cells:
                records.append((line, [cell.strip() for cell in cells]))
            line = rows.line_num + 1
    except csv.Error:  # reading it will say what is wrong
        return []
    return records


def _is_strange(cells: list[str], width: int) -> bool:
    """Whether a first line is no usual header: too short or long, mostly empty, a comment, or with values in it."""
    filled = [cell for cell in cells if cell]
    is_index = len(filled) == width - 1 and not cells[0]
    is_empty = not is_index and 2 * len(filled) <= width
    has_values = any(_is_number(cell) or _is_date(cell) or len(cell) > LONG_NAME for cell in cells)
    return (
        len(cells) != width
        or is_empty
        or has_values
        or cells[0].lower().startswith(COMMENTS)
        or bool(re.search(r"(?:19|20)[0-9]{2}", " ".join(cells)))
    )


def _is_header(cells: list[str], below: list[list[str]]) -> bool:
    """Whether a line has a name for each column, of which none is a value of those below."""
    names = cells[1:] if not cells[0] else cells
    if not all(re.search(r"[^\W\d]", name) and len(name) <= LONG_NAME for name in names):
        return False
    if len(set(names)) < len(names) or any(_is_number(n) or _is_date(n) for n in names):
        return False
    if cells[0].lower().startswith(COMMENTS[1:]) or len(below) < 2:
        return False
    columns = [[row[i] for row in below if row[i]] for i in range(len(cells))]
    readings = Counter(map(_read_name, cells, columns))
    is_cell = readings[Reading.VALUE] or readings[Reading.TEXT]
    is_name = readings[Reading.FOREIGN] or readings[Reading.NAME] > readings[Reading.UNCLEAR]
    return bool(is_name and not is_cell)


def _read_name(name: str, cells: Sequence[str]) -> Reading:
    """How a name reads beside the cells of its column."""
    name = name.strip()
    values = [value for cell in cells if (value := cell.strip()).lower() not in MISSING]
    if _is_nameless(name) or name.lower() in MISSING or len(values) < min(MIN_VALUES, 2):
        return Reading.UNCLEAR
    for is_kind in (_is_number, _is_date):
        if sum(map(is_kind, values)) >= MOST * len(values):
            return Reading.VALUE if is_kind(name) else Reading.FOREIGN
    if len(values) < MIN_VALUES:
        return Reading.UNCLEAR
    if _is_number(name) or _is_date(name):
        return Reading.NAME
    distinct = set(values)
    if name in distinct:
        is_frequent = values.count(name) > 1 or 2 * len(distinct) <= len(values)
        return Reading.VALUE if is_frequent else Reading.UNCLEAR
    if len(distinct) <= max(20, 0.3 * len(values)) and 2 * len(distinct) <= len(values):
        return Reading.NAME
    return _read_words(name, values)


def _read_words(name: str, values: list[str]) -> Reading:
    """How a name reads beside texts that are nearly all different."""
    marks = [m for m in "@/:-_." if sum(m in value for value in values) >= MOST * len(values)]
    if marks and sum(" " in value for value in values) < 0.1 * len(values):  # addresses, codes
        is_alike = all(mark in name for mark in marks) and bool(re.search(r"[@/0-9]", name))
        return Reading.VALUE if is_alike else Reading.NAME
    words = re.findall(r"\w+", name.lower())
    is_question = name.endswith(("?", ":")) and not any(
        value.endswith(name[-1]) for value in values
    )
    low = quantiles(map(len, values), n=10)[0]
    if len(words) < 2 or is_question or len(name) < low:
        return Reading.NAME
    known = {word for value in values for word in re.findall(r"\w+", value.lower())}
    share = sum(word in known for word in words) / len(words)
    if (len(words) > 2 and share >= 0.5) or len(words) > 5:
        return Reading.TEXT
    return Reading.UNCLEAR


def _doubt_numbers(names: Sequence[str]) -> bool:
    """Whether names that are numbers count columns or years, as those of data frames and wide tables do."""
    numbers = [name.strip() for name in names if _is_number(name)]
    if not all(re.fullmatch(r"[0-9]+", number) for number in numbers):
        return False
    counts = [int(number) for number in numbers]
    steps = {later - earlier for earlier, later in itertools.pairwise(counts)}
    if len(steps) != 1 and not (all(s > 0 for s in steps) or all(s < 0 for s in steps)):
        return False
    is_counting = steps == {1} and (counts[0] in (0, 1) or len(counts) > 2)
    are_years = len(counts) > 1 and all(1900 <= count <= 2100 for count in counts)
    return is_counting or are_years or (len(steps) == 1 and len(counts) > 3)


def _count_letters(names: Sequence[str]) -> set[str]:
    """Names that count columns by letters, such as A, B, C, as those of quizzes and spreadsheets do."""
    run = sorted({name for name in names if re.fullmatch("[A-Za-z]", name)}, key=names.index)
    is_counting = len(run) >= MIN_LETTERS and run[0] in "Aa"
    return (
        set(run)
        if is_counting and all(ord(b) - ord(a) == 1 for a, b in itertools.pairwise(run))
        else set()
    )


def _is_nameless(name: str) -> bool:
    return not name.strip() or name.startswith(NAMELESS)


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text.strip()) is not None or text.strip().lower() in ("inf", "-inf")


def _is_date(text: str) -> bool:
    return DATE.fullmatch(text.strip()) is not None
