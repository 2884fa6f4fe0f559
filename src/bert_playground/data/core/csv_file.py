"""Read a CSV as text, strictly: every fault is named with its place and its remedy."""

import codecs
import csv
import io
import itertools
from collections import Counter
from pathlib import Path

import polars as pl

DELIMITERS = (",", ";", "\t")


def parse_csv(path: Path, content: bytes) -> pl.DataFrame:
    """Read the bytes of a CSV; its cells stay the text they are: an id "007" keeps its zeros, an empty cell is null.

    The delimiter (comma, semicolon or tab) is the one that the header has most of. Blank lines are skipped.

    Args:
        path: named in errors.
        content: of the file, decompressed.

    Raises:
        ValueError: not UTF-8, NUL bytes, ragged rows or duplicate column names.
    """
    text = _decode(path, content)
    delimiter = sniff_delimiter(text)
    names = _check_header(path, text, delimiter)
    try:
        frame = pl.read_csv(content, separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        _check_rectangular(path, text, delimiter, len(names))
        first_line = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as CSV: {first_line}") from error
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
    names = next(
        row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row
    )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{path} has duplicate column names: {', '.join(map(repr, repeated))}; give each column its own name"
        )
    return names


def _check_rectangular(path: Path, text: str, delimiter: str, width: int) -> None:
    """Raise for the first row that has more or fewer cells than the header."""
    limit = csv.field_size_limit(len(text) + 1)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        ragged = ((rows.line_num, len(row)) for row in rows if row and len(row) != width)
        faults = list(itertools.islice(ragged, 5))
    finally:
        csv.field_size_limit(limit)
    if faults:
        listed = ", ".join(f"line {line} has {cells}" for line, cells in faults)
        raise ValueError(
            f"{path} is ragged: the header has {width} cells, but {listed}; "
            "quote cells that contain the delimiter, or complete the rows"
        )
