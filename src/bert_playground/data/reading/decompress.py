"""Decompress files (.gz, .bz2, .xz, .zst, .zip), in memory or to disk."""

import bz2
import gzip
import io
import lzma
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
        yield from COMPRESSIONS[path.suffix.lower()](file)
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
