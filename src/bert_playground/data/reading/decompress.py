"""Decompress files (.gz, .bz2, .xz, .zst, .zip), in memory or to disk."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import zstandard

from bert_playground.files import disk_errors_named
from bert_playground.lookup import shorten

OTHER_TEMPORARY = "name a folder on another disk for temporary files in the variable TMPDIR"
PIECE_BYTES = 2**20


# What is written out may be so many times larger than the file, once it is larger than `FREE_BYTES`; a table of text
# becomes 3 to 20 times smaller. The variable BERT_MAX_UNPACK_RATIO sets another factor.
MAX_RATIO, FREE_BYTES = 200.0, 256 * 2**20
RATIO_VARIABLE = "BERT_MAX_UNPACK_RATIO"


def is_compressed(path: Path) -> bool:
    """Whether the name ends like that of a compressed file."""
    return path.suffix.lower() in COMPRESSIONS


def decompress(path: Path, content: bytes) -> bytes:
    """The content of a compressed file.

    Args:
        path: its suffix tells the compression.
        content: of the file as it is.

    Raises:
        ValueError: it is damaged, or holds several files.
    """
    return b"".join(_iterate_pieces(path, io.BytesIO(content)))


def decompress_to(path: Path, folder: Path) -> Path:
    """Decompress a file into a folder, holding a small piece of it at a time.

    Returns:
        The file inside; its name tells the format.

    Raises:
        ValueError: it is damaged, or holds several files.
        OSError: the disk is full; nothing is left behind.
    """
    target = folder / path.stem
    try:
        with (
            disk_errors_named(target, OTHER_TEMPORARY),
            path.open("rb") as file,
            target.open("wb") as decompressed,
        ):
            decompressed.writelines(_iterate_pieces(path, file))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def _iterate_pieces(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    try:
        yield from _bounded(path, file, COMPRESSIONS[path.suffix.lower()](file))
    except UnpackedSizeError:
        raise
    except (
        EOFError,
        OSError,
        ValueError,
        lzma.LZMAError,
        zipfile.BadZipFile,
        zlib.error,
        zstandard.ZstdError,
        RuntimeError,  # of a zip with a password
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of what is read
        raise ValueError(
            f"{path} cannot be decompressed as {path.suffix.removeprefix('.')}: {error}; decompress it by hand, or "
            "fetch it again"
        ) from error


class UnpackedSizeError(ValueError):
    """A file that becomes many times larger than tables do."""


def find_max_ratio() -> float:
    """How many times larger a file may become.

    Raises:
        ValueError: the variable holds no number above 0.
    """
    asked = os.environ.get(RATIO_VARIABLE, "")
    try:
        ratio = float(asked or MAX_RATIO)
    except ValueError:
        ratio = 0.0
    if not ratio > 0:
        raise UnpackedSizeError(f"{RATIO_VARIABLE} is {asked!r}, expected a number above 0")
    return ratio


def _bounded(path: Path, file: IO[bytes], pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, as long as they are not many times more than was read."""
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    most, unpacked = max(FREE_BYTES, packed * find_max_ratio()), 0
    for piece in pieces:
        unpacked += len(piece)
        if unpacked > most:
            raise UnpackedSizeError(
                f"{path} has {packed:,} bytes and becomes more than {most:,.0f}, which no table does; if it is one, set "
                f"{RATIO_VARIABLE} to more than {most / packed:,.0f}, or decompress it by hand"
            )
        yield piece


def measure_unpacked(path: Path, enough: int) -> int:
    """Bytes of a file when it is decompressed, counted up to `enough`; of one that is damaged as many as can be read."""
    size = 0
    try:
        with path.open("rb") as file:
            for piece in _iterate_pieces(path, file):
                size += len(piece)
                if size >= enough:
                    break
    except ValueError:  # reading it will say what is wrong
        return size
    return size


def _read_pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    return iter(partial(read, PIECE_BYTES), b"")


def _iterate_gzip(file: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as decompressed:
        yield from _read_pieces(decompressed.read)


def _iterate_bz2(file: IO[bytes]) -> Iterator[bytes]:
    with bz2.open(file) as decompressed:
        yield from _read_pieces(decompressed.read)


def _iterate_xz(file: IO[bytes]) -> Iterator[bytes]:
    with lzma.open(file) as decompressed:
        yield from _read_pieces(decompressed.read)


def _iterate_zstd(file: IO[bytes]) -> Iterator[bytes]:
    """Frame by frame, as zstandard's own reader takes a file that was cut off for a whole one."""
    frame = None
    for piece in _read_pieces(file.read):
        while piece:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(piece)
            piece = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the file ended before its last frame did")


def _iterate_zip(file: IO[bytes]) -> Iterator[bytes]:
    """The one file in an archive."""
    with zipfile.ZipFile(file) as archive:
        members = [
            name
            for name in archive.namelist()
            if not name.endswith("/") and not name.startswith("__MACOSX")
        ]
        if len(members) != 1:
            raise ValueError(f"it holds {len(members)} files ({shorten(members)}), expected one")
        with archive.open(members[0]) as decompressed:
            yield from _read_pieces(decompressed.read)


COMPRESSIONS: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    ".gz": _iterate_gzip,
    ".bz2": _iterate_bz2,
    ".xz": _iterate_xz,
    ".zst": _iterate_zstd,
    ".zip": _iterate_zip,
}
