"""Read a CSV as text, strictly: every fault is named with its place and its remedy."""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from loguru import logger

DELIMITERS = (",", ";", "\t", "|")


def parse_csv(path: Path, content: bytes) -> pl.DataFrame:
    """Read the bytes of a CSV; its cells stay the text they are: an id "007" keeps its zeros, an empty cell is null.

    The delimiter (comma, semicolon, tab or bar) is the one that the header has most of. Blank lines are skipped.

    Args:
        path: named in errors.
        content: of the file, decompressed.

    Raises:
        ValueError: not UTF-8, NUL bytes, ragged rows or duplicate column names.
    """
    if b"\n" not in content and b"\r" in content:
        logger.info(f"{path} ends its lines with CR alone, as old Macs did: read as line ends")
        content = content.replace(b"\r", b"\n")
    if not content.endswith(b"\n"):
        content += b"\n"  # Polars overlooks an extra cell on a last line without end
    text = _decode(path, content)
    delimiter = sniff_delimiter(text)
    names = _check_header(path, text, delimiter)
    try:
        frame = pl.read_csv(content, separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        _check_rectangular(path, text, delimiter, len(names))
        if '"' not in text:
            first_line = str(error).splitlines()[0]
            raise ValueError(f"{path} cannot be read as CSV: {first_line}") from error
        frame = _read_stray_quotes(path, text, delimiter, None)
    if frame.height == 0 or frame.columns != names or _has_stray_quotes(content, delimiter):
        _check_rectangular(path, text, delimiter, len(names))
        frame = _read_stray_quotes(path, text, delimiter, frame)
    # A short row and an empty last cell look alike to Polars.
    if frame.width and frame[:, -1].has_nulls():
        _check_rectangular(path, text, delimiter, len(names))
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width > 1 else frame


def sniff_delimiter(text: str) -> str:
    """The delimiter that occurs most often in the header, outside quotes."""
    header = "".join(text.split("\n", 1)[0].split('"')[::2])
    return max(DELIMITERS, key=header.count)


def _decode(path: Path, content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(
            f"{path} is UTF-16, expected UTF-8; convert it: iconv -f UTF-16 -t UTF-8 {path} > utf8.csv"
        )
    if (place := content.find(b"\0")) >= 0:
        raise ValueError(
            f"{path} has a NUL byte at byte {place}: it is damaged or no text file; export it again as CSV"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} is not UTF-8: byte {error.start} (line {line}) is 0x{content[error.start]:02x}; "
            f"it is probably Windows-1252: iconv -f WINDOWS-1252 -t UTF-8 {path} > utf8.csv"
        ) from error


def _check_header(path: Path, text: str, delimiter: str) -> list[str]:
    with _long_cells(text):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = next((row for row in rows if row), None)
    if names is None:
        raise ValueError(f"{path} is empty; expected a CSV with a header line and rows")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{path} has duplicate column names: {', '.join(map(repr, repeated))}; give each column its own name"
        )
    return names


def _check_rectangular(path: Path, text: str, delimiter: str, width: int) -> None:
    """Raise for the first row that has more or fewer cells than the header."""
    with _long_cells(text):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        ragged = ((rows.line_num, len(row)) for row in rows if row and len(row) != width)
        faults = list(itertools.islice(ragged, 5))
    if faults:
        listed = ", ".join(f"line {line} has {cells}" for line, cells in faults)
        raise ValueError(
            f"{path} is ragged: the header has {width} cells, but {listed}; "
            "quote cells that contain the delimiter, or complete the rows"
        )


def _has_stray_quotes(content: bytes, delimiter: str) -> bool:
    """Whether quotes may stand inside cells that are not quoted, after which Polars takes line ends for text.

    Quotes that open a cell and those that close one are equally many in a sound file.
    """
    if b'"' not in content:
        return False
    mark = delimiter.encode()
    opening = content.count(mark + b'"') + content.count(b'\n"') + content.startswith(b'"')
    closing = content.count(b'"' + mark) + content.count(b'"\n') + content.count(b'"\r')
    if opening != closing or content.count(b'"') % 2 == 1:
        return True
    inside = rb'[^"\r\n' + re.escape(mark) + rb']'
    return re.search(inside + b'"' + inside, content) is not None


def _read_stray_quotes(
    path: Path, text: str, delimiter: str, seen: pl.DataFrame | None
) -> pl.DataFrame:
    """Read a table in which quotes stand inside cells that are not quoted, such as 5" pipe, by Python's own reader.

    Args:
        path: named in messages.
        text: of the whole file.
        delimiter: between cells.
        seen: what Polars made of it; None: nothing.

    Raises:
        ValueError: a quote is never closed.
    """
    whole = io.StringIO()
    with _long_cells(text):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        csv.writer(whole, delimiter=delimiter).writerows(row for row in rows if row)
        start = _find_unclosed(text, delimiter)
    if start is not None:
        raise ValueError(
            f"{path} has a quote that is never closed, in the row that begins on line {start}; close it, or remove it"
        )
    frame = pl.read_csv(whole.getvalue().encode(), separator=delimiter, infer_schema=False)
    if seen is None or not frame.equals(seen):
        logger.warning(f"{path} has quotes inside cells that are not quoted: read as they stand")
    return frame


def _find_unclosed(text: str, delimiter: str) -> int | None:
    """The line on which the last row begins, if it ends inside a quoted cell."""
    lines = iter(io.StringIO(text, newline=""))
    rows = csv.reader(lines, delimiter=delimiter)
    start = 0
    for _ in rows:
        end, start = start, rows.line_num
    last = "".join(itertools.islice(io.StringIO(text, newline=""), end, None))
    # One more cell behind a closed row is a cell; inside an open quote it is text.
    probe = next(csv.reader(io.StringIO(last.rstrip("\r\n") + f"{delimiter}?"), delimiter=delimiter))
    return end + 1 if probe[-1] != "?" else None


@contextmanager
def _long_cells(text: str) -> Iterator[None]:
    """Let Python's reader take cells of any length, and say what it cannot read.

    Raises:
        ValueError: of the csv module's own error.
    """
    limit = csv.field_size_limit(len(text) + 1)
    try:
        yield
    except csv.Error as error:
        raise ValueError(f"the table cannot be read as CSV: {error}; export it again") from error
    finally:
        csv.field_size_limit(limit)
