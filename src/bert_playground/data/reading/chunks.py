"""open_chunks: one file as pieces that are read alone, each as `read_table` would read it."""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from bert_playground.data.reading.csv_text import (
    parse_csv,
    sniff_delimiter,
    tidy_rows,
)
from bert_playground.data.reading.file_signatures import refuse_other_formats
from bert_playground.data.reading.footer import doubt_footer
from bert_playground.data.reading.header import DELIMITERS, doubt_header
from bert_playground.data.reading.records import cut_records
from bert_playground.data.reading.table import as_text, name_bad_line, read_file, unnest_records

CHUNK_ROWS = 16_384
CHUNK_BYTES = 8 * 2**20
SAMPLE_BYTES = 2**20  # from which the length of a row is judged
BOM = codecs.BOM_UTF8
COLUMNAR: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".pq": pl.scan_parquet,
    ".arrow": pl.scan_ipc,
    ".feather": pl.scan_ipc,
    ".ipc": pl.scan_ipc,
}
LINES = (".jsonl", ".ndjson", ".json")


class Span(NamedTuple):
    """A piece of a file: bytes of a text file, rows of a columnar one."""

    start: int
    end: int
    num_rows: int
    is_plain: bool = True  # a CSV whose quotes stand around whole cells


@dataclass(frozen=True)
class ChunkReader:
    """Reads pieces of one file.

    Attributes:
        path: as the user knows it.
        plain: what is read; differs from `path` where that is compressed.
        columns: in the order in which they are given.
        own_columns: the same as the file has them.
        header: the first bytes of a CSV, up to its rows.
        schema: the types of all the file's JSON records.
        fractions: columns of floats that are not all whole numbers, so "22.0" must stay so in every piece.
        stamp: size and time of the file when it was opened.
        owner: kept alive while the file is read.
    """

    path: Path
    plain: Path
    columns: tuple[str, ...]
    own_columns: tuple[str, ...]
    header: bytes
    schema: pl.Schema | None
    fractions: tuple[str, ...]
    stamp: tuple[int, int]
    owner: object

    def read(self, span: Span) -> pl.DataFrame:
        """The rows of a piece, every cell as text.

        Raises:
            ValueError: the file is another than when it was opened.
        """
        if _stamp(self.plain) != self.stamp:
            raise ValueError(f"{self.path} has changed since it was opened; start again")
        frame = self._parse(span)
        if frame.height != span.num_rows:
            raise ValueError(
                f"{self.path} gave {frame.height} rows where {span.num_rows} were expected; start again"
            )
        return frame.select(self.columns)

    def _parse(self, span: Span) -> pl.DataFrame:
        suffix = self.plain.suffix.lower()
        if suffix in COLUMNAR:
            rows = COLUMNAR[suffix](self.plain).slice(span.start, span.num_rows)
            return _spell(rows.collect(), self.fractions)
        content = _read_bytes(self.plain, span.start, span.end)
        if suffix in LINES:
            return _spell(pl.read_ndjson(content, schema=self.schema), self.fractions)
        if not span.is_plain:
            return parse_csv(self.path, self.header + content)
        return _parse_plain(self.header, content, self.own_columns)


def open_chunks(
    path: Path, plain: Path, chunk_rows: int | None, owner: object = None
) -> tuple[ChunkReader, list[Span]]:
    """Find the pieces of a file and every fault in them.

    Args:
        path: named in messages.
        plain: the file itself, decompressed.
        chunk_rows: rows of a piece; None: by the length of its rows.
        owner: see `ChunkReader`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, has no rows, or its format cannot be read in pieces.
    """
    if not plain.is_file() or not plain.stat().st_size:
        read_file(plain)  # says what is wrong
    suffix = plain.suffix.lower()
    try:
        if suffix in COLUMNAR:
            found = _open_columnar(plain, chunk_rows)
        elif suffix in LINES:
            found = _open_lines(path, plain, chunk_rows)
        else:
            refuse_other_formats(path, _read_bytes(plain, 0, 64))
            found = _open_csv(path, plain, chunk_rows)
    except pl.exceptions.PolarsError as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(
            f"{path} cannot be read as {suffix.removeprefix('.')}: {first_line}; export it again"
        ) from error
    if found.spans and not found.columns:
        raise ValueError(f'{path} has no columns; expected records such as {{"age": 22}}')
    if not found.spans:
        raise ValueError(f"{path} has a header but no rows; expected at least one row of data")
    reader = ChunkReader(
        path,
        plain,
        found.columns,
        found.columns,
        found.header,
        found.schema,
        found.fractions,
        _stamp(plain),
        owner,
    )
    return reader, found.spans


class _Found(NamedTuple):
    columns: tuple[str, ...]
    spans: list[Span]
    header: bytes = b""
    schema: pl.Schema | None = None
    fractions: tuple[str, ...] = ()


def _open_csv(path: Path, plain: Path, chunk_rows: int | None) -> _Found:
    header, begin = _read_header(path, plain)
    delimiter = sniff_delimiter(header.decode("utf-8-sig", "replace")).encode()
    if chunk_rows is None:
        chunk_rows = _choose_rows(plain, begin, delimiter)
    spans: list[Span] = []
    columns: tuple[str, ...] = ()
    last: list[pl.DataFrame] = []
    lines = header_lines = header.count(b"\n")
    for start, end in cut_records(plain, begin, chunk_rows, delimiters=delimiter):
        content = _read_bytes(plain, start, end)
        try:
            frame = parse_csv(path, header + content)
        except ValueError as error:
            shifted = _shift(str(error), lines - header_lines, start - len(header))
            raise ValueError(shifted) from error
        columns = tuple(frame.columns)
        lines += content.count(b"\n")
        if not spans:
            doubt_header(path, columns, frame)
        if frame.height:
            is_plain = _is_read_plainly(header, content, frame)
            spans.append(Span(start, end, frame.height, is_plain))
            last = [*last[-1:], frame]
    if last:
        rows = pl.concat(last)
        doubt_footer(path, rows, sum(span.num_rows for span in spans) - rows.height)
    return _Found(columns, spans, header)


def _is_read_plainly(header: bytes, content: bytes, expected: pl.DataFrame) -> bool:
    """Whether the quick way reads the same as the careful one."""
    try:
        return _parse_plain(header, content, tuple(expected.columns)).equals(expected)
    except (pl.exceptions.PolarsError, ValueError):
        return False


def _open_lines(path: Path, plain: Path, chunk_rows: int | None) -> _Found:
    with plain.open("rb") as file:
        if file.read(4096).lstrip().startswith(b"["):
            raise ValueError(
                f"{path} is one JSON list, which can only be read whole; write one record per line (.jsonl), or set "
                "data.streaming to false"
            )
    chunk_rows = chunk_rows or _choose_rows(plain, 0, b"")
    spans: list[Span] = []
    schemas: list[pl.DataFrame] = []
    fractions: set[str] = set()
    begin = len(BOM) if _read_bytes(plain, 0, len(BOM)) == BOM else 0
    lines = 0
    for start, end in cut_records(plain, begin, chunk_rows, delimiters=b""):
        content = _read_bytes(plain, start, end)
        lines += content.count(b"\n")
        if not content.strip():
            continue
        try:
            frame = pl.read_ndjson(content, infer_schema_length=None)
        except pl.exceptions.PolarsError as error:
            reason = (
                name_bad_line(content, lines - content.count(b"\n") + 1)
                or str(error).splitlines()[0]
            )
            raise ValueError(
                f"{path} cannot be read as JSON lines: {reason}; export it again"
            ) from error
        schemas.append(frame.clear())
        fractions |= _fractions(unnest_records(frame))
        spans.append(Span(start, end, frame.height))
    if not spans:
        return _Found((), [])
    whole = pl.concat(schemas, how="diagonal_relaxed")
    columns = tuple(unnest_records(whole).columns)
    return _Found(columns, spans, schema=whole.schema, fractions=tuple(sorted(fractions)))


def _open_columnar(plain: Path, chunk_rows: int | None) -> _Found:
    table = COLUMNAR[plain.suffix.lower()](plain)
    num_rows = int(table.select(pl.len()).collect().item())
    chunk_rows = chunk_rows or CHUNK_ROWS
    starts = range(0, num_rows, chunk_rows)
    spans = [
        Span(start, min(start + chunk_rows, num_rows), min(chunk_rows, num_rows - start))
        for start in starts
    ]
    columns: tuple[str, ...] = ()
    fractions: set[str] = set()
    for span in spans:
        frame = unnest_records(table.slice(span.start, span.num_rows).collect())
        columns = tuple(as_text(frame.clear()).columns)
        fractions |= _fractions(frame)
    return _Found(columns, spans, fractions=tuple(sorted(fractions)))


def _fractions(frame: pl.DataFrame) -> set[str]:
    """Columns of floats of which one at least is no whole number."""
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    values = frame.select(pl.col(floats).fill_nan(None)) if floats else frame.select([])
    return {
        column.name
        for column in values.iter_columns()
        if not bool(((column.round() == column) & (column.abs() < 2**53)).all())
    }


def _spell(frame: pl.DataFrame, fractions: tuple[str, ...]) -> pl.DataFrame:
    frame = unnest_records(frame)
    kept = [name for name in fractions if frame.schema[name].is_float()]
    return as_text(frame.with_columns(pl.col(kept).fill_nan(None).cast(pl.String)))


def _parse_plain(header: bytes, content: bytes, names: tuple[str, ...]) -> pl.DataFrame:
    """Read rows that were found faultless when the file was opened."""
    delimiter = sniff_delimiter(header.decode("utf-8-sig"))
    frame = pl.read_csv(header + content, separator=delimiter, infer_schema=False)
    return tidy_rows(frame, names, content)


def _read_header(path: Path, plain: Path) -> tuple[bytes, int]:
    """The header with blank lines before it, and the byte at which the rows begin."""
    start = len(BOM) if _read_bytes(plain, 0, len(BOM)) == BOM else 0
    for _, end in cut_records(plain, start, 1, delimiters="".join(DELIMITERS).encode()):
        header = _read_bytes(plain, start, end)
        if not header.strip():
            continue
        if b"\n" not in header and b"\r" in header:
            raise ValueError(
                f"{path} ends its lines with CR alone, as old Macs did, and cannot be read in pieces so; convert it: "
                f"tr '\\r' '\\n' < {path} > lines.csv"
            )
        return header, end
    return b"", start


def _choose_rows(plain: Path, start: int, delimiters: bytes) -> int:
    """Rows of a piece, from the mean length of the first ones."""
    size = num_rows = 0
    for begin, end in cut_records(plain, start, 1, delimiters=delimiters):
        size, num_rows = size + end - begin, num_rows + 1
        if size > SAMPLE_BYTES:
            break
    mean = max(1, size // max(1, num_rows))
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // mean))


def _read_bytes(plain: Path, start: int, end: int) -> bytes:
    with plain.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def _shift(message: str, lines: int, num_bytes: int) -> str:
    """Line and byte numbers of a piece as those of the file."""
    message = re.sub(r"\bline (\d+)", lambda found: f"line {int(found[1]) + lines}", message)
    return re.sub(r"\bbyte (\d+)", lambda found: f"byte {int(found[1]) + num_bytes}", message)


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path} any more; it was there when reading began")
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
