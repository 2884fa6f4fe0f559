"""TableStream: tables larger than memory, read in chunks of rows; any chunk at any time."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.reading.chunks import CHUNK_ROWS, LINES, ChunkReader, Span, open_chunks
from bert_playground.data.reading.decompress import decompress_to, is_compressed, measure_unpacked
from bert_playground.data.reading.records import count_lines
from bert_playground.data.reading.table import Files, expand_paths
from bert_playground.lookup import shorten

LARGE_BYTES = 64 * 2**20
PART_BYTES = 4 * 2**20  # from here on a table that is held whole shows in the peak of prediction
LARGE_ROWS = 500_000


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of a table.

    Attributes:
        reader: of its file.
        span: where in the file.
        first_row: the number of its first row in the whole table.
        kept: [K] ascending places in the span of the rows that belong to the stream; None: all.
    """

    reader: ChunkReader
    span: Span
    first_row: int
    kept: np.ndarray | None = None

    @property
    def num_rows(self) -> int:
        """Rows of the stream in this chunk."""
        return self.span.num_rows if self.kept is None else len(self.kept)

    @property
    def rows(self) -> np.ndarray:
        """Their numbers in the whole table, [num_rows]."""
        kept = np.arange(self.span.num_rows) if self.kept is None else self.kept
        return self.first_row + kept

    def read(self) -> pl.DataFrame:
        """The rows, every cell as text."""
        frame = self.reader.read(self.span)
        return frame if self.kept is None else frame[self.kept]

    def __str__(self) -> str:
        """For error messages."""
        last = self.first_row + self.span.num_rows
        return f"{self.reader.path}, rows {self.first_row + 1} to {last}"


@dataclass(frozen=True)
class TableStream:
    """The rows of one or several files, without holding them.

    Attributes:
        name: for messages.
        columns: of the table.
        chunks: in the order of the rows.
    """

    name: str
    columns: tuple[str, ...]
    chunks: tuple[Chunk, ...]

    @property
    def num_rows(self) -> int:
        """Rows of all chunks."""
        return sum(chunk.num_rows for chunk in self.chunks)

    @property
    def num_table_rows(self) -> int:
        """Rows of the files, those of the stream and those left out."""
        return max((chunk.first_row + chunk.span.num_rows for chunk in self.chunks), default=0)

    @property
    def rows(self) -> np.ndarray:
        """The numbers of its rows in the whole table, ascending."""
        return np.concatenate([np.empty(0, np.int64), *(chunk.rows for chunk in self.chunks)])

    def select(self, rows: np.ndarray) -> "TableStream":
        """The stream of the rows with these numbers, in the order of the table; the others are left out."""
        wanted = np.unique(rows)
        chunks = []
        for chunk in self.chunks:
            ends = [chunk.first_row, chunk.first_row + chunk.span.num_rows]
            kept = wanted[slice(*np.searchsorted(wanted, ends))] - chunk.first_row
            if chunk.kept is not None:
                kept = np.intersect1d(kept, chunk.kept, assume_unique=True)
            if len(kept):
                chunks.append(
                    replace(chunk, kept=None if len(kept) == chunk.span.num_rows else kept)
                )
        return replace(self, chunks=tuple(chunks))

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows chunk by chunk, every cell as text; of all columns, or of these."""
        for chunk in self.chunks:
            frame = chunk.read()
            yield frame if columns is None else frame.select(columns)

    def take(self, rows: np.ndarray) -> pl.DataFrame:
        """The rows with these numbers, in the order of the table."""
        empty = pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
        return pl.concat([empty, *self.select(rows).frames()])


def open_stream(
    source: Files, *, chunk_rows: int | None = None, folder: Path | None = None
) -> TableStream:
    """Look once through files, and find their faults, without holding more than a chunk of them.

    Args:
        source: a file, a pattern, or a list of files with the same columns: CSV, Parquet, Arrow or JSON Lines.
        chunk_rows: of a chunk; None: about 8 MB of text, at most 16,384 rows.
        folder: where compressed files (.gz, .zst, …) are decompressed to, for as long as the stream lives; None: the
            system's folder for temporary files.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is damaged or has no rows, files have different columns, or the format cannot be streamed.
    """
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"chunk_rows is {chunk_rows}, expected at least 1")
    chunks: list[Chunk] = []
    columns: tuple[str, ...] = ()
    first_row = 0
    paths = expand_paths(source)
    for path in paths:
        plain, owner = _decompress_to_disk(path, folder)
        reader, spans = open_chunks(path, plain, chunk_rows, owner)
        columns = columns or reader.columns
        if set(reader.columns) != set(columns):
            differing = sorted(set(reader.columns) ^ set(columns))
            raise ValueError(
                f"{path} and {paths[0]} have different columns: {shorten(differing)}; files that are read as one table "
                "must have the same"
            )
        reader = replace(reader, columns=columns)
        for span in spans:
            chunks.append(Chunk(reader, span, first_row))
            first_row += span.num_rows
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return TableStream(name, columns, tuple(chunks))


def open_if_longer(source: Files) -> TableStream | None:
    """The stream of one CSV, Parquet or Arrow file of 4 MB or more, in chunks of 16,384 rows; None: `read_table` has to read.

    That is so too where a file is faulty, or cannot be read in pieces.
    """
    paths = expand_paths(source)
    if len(paths) > 1 or is_compressed(paths[0]) or paths[0].suffix.lower() in LINES:
        return None
    if not paths[0].is_file() or paths[0].stat().st_size < PART_BYTES:
        return None
    try:
        return open_stream(paths[0], chunk_rows=CHUNK_ROWS)
    except ValueError:
        return None


def is_large(source: Any) -> bool:
    """Whether files are so large that they are streamed when nobody says: from 64 MB or 500,000 rows on."""
    if not isinstance(source, str | Path | list | tuple):
        return False
    paths = [path for path in expand_paths(source) if path.is_file()]
    if sum(map(_count_bytes, paths)) >= LARGE_BYTES:
        return True
    rows = 0
    for path in paths:
        if path.suffix.lower() in (".parquet", ".pq"):
            rows += _count_parquet_rows(path)
        elif path.suffix.lower() not in (".arrow", ".feather", ".ipc"):
            rows += count_lines(path, LARGE_ROWS)
    return rows >= LARGE_ROWS


def _count_bytes(path: Path) -> int:
    """Of a compressed file those that it becomes."""
    return measure_unpacked(path, LARGE_BYTES) if is_compressed(path) else path.stat().st_size


def _count_parquet_rows(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except pl.exceptions.PolarsError:  # reading it will say what is wrong
        return 0


def _decompress_to_disk(path: Path, folder: Path | None) -> tuple[Path, object]:
    """A file that is not compressed, and what must be kept so long as it is read."""
    if not is_compressed(path) or not path.is_file():
        return path, None
    directory = tempfile.mkdtemp(prefix="bert-stream-", dir=folder)
    owner = _Folder(directory)
    return decompress_to(path, Path(directory)), owner


class _Folder:
    """A folder that goes with its last user."""

    def __init__(self, path: str) -> None:
        self._remove = weakref.finalize(self, _remove, path, os.getpid())


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)
