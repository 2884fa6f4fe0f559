"""Read a CSV as text, strictly: every fault is named with its place and its remedy."""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from bert_playground.data.reading.header import (
    DELIMITERS,
    NAMELESS,
    hint_at_header,
    require_header_first,
)
from bert_playground.logger import logger

_EMPTY_QUOTES = re.compile(
    rb'""(?=[,;\t|\r\n]|\Z)(?<=[,;\t|\r\n]"")'
)  # a whole cell, or what looks like one


def parse_csv(path: Path, content: bytes) -> pl.DataFrame:
    """Read the bytes of a CSV; its cells stay the text they are: an id "007" keeps its zeros, an empty cell is null.

    The delimiter (comma, semicolon, tab or bar) is the one that the header has most of. Blank lines are skipped.

    Args:
        path: named in errors.
        content: of the file, decompressed.

    Raises:
        ValueError: not UTF-8, NUL bytes, lines above the header, ragged rows or duplicate column names.
    """
    if b"\n" not in content and b"\r" in content:
        logger.info(f"{path} ends its lines with CR alone, as old Macs did: read as line ends")
        content = content.replace(b"\r", b"\n")
    if not content.endswith(b"\n"):
        content += b"\n"  # Polars overlooks an extra cell on a last line without end
    text = _decode(path, content)
    delimiter = sniff_delimiter(text)
    require_header_first(path, text, delimiter)
    names = _check_header(path, text, delimiter)
    try:
        frame = pl.read_csv(content, separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        _check_rectangular(path, text, delimiter, len(names))
        if '"' not in text:
            first_line = str(error).splitlines()[0]
            raise ValueError(f"{path} cannot be read as CSV: {first_line}") from error
        frame = _read_stray_quotes(path, text, delimiter, None)
    unquoted = _cut_quoted(content, delimiter)
    if frame.height == 0 or frame.columns != names or b'"' in unquoted:
        _check_rectangular(path, text, delimiter, len(names))
        frame = _read_stray_quotes(path, text, delimiter, frame)
    # A short row and an empty last cell look alike to Polars.
    if (
        frame.width
        and frame[:, -1].has_nulls()
        and not _is_complete(unquoted, delimiter, len(names))
    ):
        _check_rectangular(path, text, delimiter, len(names))
    return tidy_rows(frame, name_nameless(names), content)


def name_nameless(names: Sequence[str]) -> list[str]:
    """Column names, "Unnamed: 3" in place of an empty one, as pandas calls the fourth column without a name."""
    return [name or f"{NAMELESS}{place}" for place, name in enumerate(names)]


def tidy_rows(frame: pl.DataFrame, names: Sequence[str], content: bytes) -> pl.DataFrame:
    """Name the columns; an empty cell is null, be it quoted or not, and a line without any value is no row."""
    if frame.columns != list(names):
        frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    if _EMPTY_QUOTES.search(content):
        frame = frame.with_columns(pl.when(pl.all() != "").then(pl.all()))
    if frame.width < 2 or not frame[:, 0].has_nulls():
        return frame
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


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
    repeated = [name for name, count in Counter(name_nameless(names)).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{path} has duplicate column names: {', '.join(map(repr, repeated))}; give each column its own name"
            f"{hint_at_header(repeated)}"
        )
    return names


def _check_rectangular(path: Path, text: str, delimiter: str, width: int) -> None:
    """Raise for the first row that has more or fewer cells than the header."""
    with _long_cells(text):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        ragged = ((rows.line_num, len(row)) for row in rows if row and len(row) != width)
        faults = list(itertools.islice(ragged, 5))
    if faults:
        _require_closed(path, text, delimiter)
        listed = ", ".join(f"line {line} has {cells}" for line, cells in faults)
        remedy = f"quote cells that contain the delimiter {delimiter!r}, or complete the rows"
        if len(faults) > 1 and {cells for _, cells in faults} == {faults[0][1]}:
            remedy += "; if the first line is no header, remove it"
        raise ValueError(f"{path} is ragged: the header has {width} cells, but {listed}; {remedy}")


def _cut_quoted(content: bytes, delimiter: str) -> bytes:
    """The content with every quoted cell as one letter.

    Quotes that are left stand elsewhere than around whole cells; after such ones Polars may take line ends for text.
    """
    if b'"' not in content:
        return content
    mark = re.escape(delimiter.encode())
    # A literal comes first, so that the search can jump from quote to quote.
    quoted = rb'"(?<=[\n%b]")[^"]*(?:""[^"]*)*"(?=[\r\n%b])' % (mark, mark)
    return re.sub(quoted, b"q", b"\n" + content)[1:]


def _is_complete(unquoted: bytes, delimiter: str, width: int) -> bool:
    """Whether the rows have as many cells together as complete ones would; Polars has seen that none has too many."""
    if b"\n\n" in unquoted or b"\r" in unquoted.replace(b"\r\n", b"q\n"):
        return False  # blank lines and other line ends are for those who look at every row
    num_cells_but_first = unquoted.count(b"\n") * (width - 1)
    return (
        not unquoted.startswith(b"\n") and unquoted.count(delimiter.encode()) == num_cells_but_first
    )


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
    _require_closed(path, text, delimiter)
    frame = pl.read_csv(whole.getvalue().encode(), separator=delimiter, infer_schema=False)
    if seen is None or not frame.equals(seen):
        logger.warning(f"{path} has quotes inside cells that are not quoted: read as they stand")
    return frame


def _require_closed(path: Path, text: str, delimiter: str) -> None:
    """Raise if the last row ends inside a quoted cell."""
    start = end = 0
    with _long_cells(text):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for _ in rows:
            start, end = end, rows.line_num
        last = "".join(itertools.islice(io.StringIO(text, newline=""), start, None))
        # One more cell behind a closed row is a cell; inside an open quote it is text.
        probe = io.StringIO(f"{last.rstrip()}{delimiter}?", newline="")
        cells = next(csv.reader(probe, delimiter=delimiter))
    if cells[-1] != "?":
        raise ValueError(
            f"{path} has a quote that is never closed, in the row that begins on line {start + 1}; close it, or remove it"
        )


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
