"""Read a CSV as text, strictly: every fault is named with its place and its remedy."""

import codecs
import csv
import io
import itertools
from collections import Counter
from pathlib import Path

import polars as pl

from bert_playground.lookup import nearest, shorten

DELIMITERS = (",", ";", "\t")


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV whose cells stay the text they are: an id "007" keeps its zeros, an empty cell is null.

    The delimiter (comma, semicolon or tab) is the one that the header has most of. Blank lines are skipped.

    Raises:
        FileNotFoundError: there is no such file; the message has the nearest name in the folder.
        ValueError: not UTF-8, NUL bytes, no rows, ragged rows or duplicate column names.
    """
    path = Path(path)
    content = _read_bytes(path)
    text = _decode(path, content)
    delimiter = sniff_delimiter(text)
    names = _check_header(path, text, delimiter)
    try:
        frame = pl.read_csv(content, separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        _check_rectangular(path, text, delimiter, len(names))
        first_line = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as CSV: {first_line}") from error
    if (
        frame.width and frame[:, -1].has_nulls()
    ):  # a short row and an empty last cell look alike to Polars
        _check_rectangular(path, text, delimiter, len(names))
    frame = frame.rename(dict(zip(frame.columns, names, strict=True)))
    if frame.width > 1:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    if frame.height == 0:
        raise ValueError(
            f"{path} has a header but no rows; expected at least one row of data below it"
        )
    return frame


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Cells of any type as the text a CSV would have: 22.0 in a column of whole floats becomes "22", true "True"."""
    return frame.select(_as_text(column) for column in frame.iter_columns())


def sniff_delimiter(text: str) -> str:
    """The delimiter that occurs most often in the header, outside quotes."""
    header = "".join(text.split("\n", 1)[0].split('"')[::2])
    return max(DELIMITERS, key=header.count)


def require_columns(frame: pl.DataFrame, names: list[str], where: str) -> None:
    """Check that the columns are there.

    Raises:
        ValueError: some are missing; all of them are listed, each with the nearest name that is there.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        listed = ", ".join(f"{name!r}{nearest(name, frame.columns)}" for name in missing)
        raise ValueError(
            f"{where} lacks {len(missing)} column(s): {listed} "
            f"(it has: {shorten(frame.columns)}); add them or rename the ones meant"
        )


def _as_text(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column
    if column.dtype == pl.Boolean:
        return column.replace_strict([True, False], ["True", "False"], return_dtype=pl.String)
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = (column.round() == column) & (column.abs() < 2**53)
        if bool(whole.all()):
            column = column.cast(pl.Int64)
    return column.cast(pl.String)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a CSV file such as {path / 'train.csv'}")
    if not path.exists():
        siblings = (
            [entry.name for entry in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        )
        there = f" (CSV files there: {', '.join(sorted(siblings))})" if siblings else ""
        raise FileNotFoundError(
            f"no file {path}{nearest(path.name, siblings)}{there}; check the path"
        )
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"{path} is empty; expected a CSV with a header line and rows")
    return content


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
