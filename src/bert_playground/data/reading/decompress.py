"""unpack_file: a packed file to disk, piece by piece."""

import bz2
import gzip
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import zstandard

from bert_playground.lookup import shorten


def unpack_file(path: Path, folder: Path) -> Path:
    """Unpack .gz, .bz2, .xz, .zst or .zip into a folder, holding a small piece of it at a time.

    Returns:
        The file inside; its name tells the format.

    Raises:
        ValueError: it is damaged, or holds several files.
    """
    target = folder / path.stem
    try:
        with ExitStack() as stack, target.open("wb") as file:
            if path.suffix.lower() == ".zst":
                file.writelines(iterate_zstd(stack.enter_context(path.open("rb"))))
            else:
                shutil.copyfileobj(_open_packed(path, stack), file, 2**20)
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
            f"{path} cannot be unpacked as {path.suffix.removeprefix('.')}: {error}; unpack it by hand, or fetch it again"
        ) from error
    return target


def _open_packed(path: Path, stack: ExitStack) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", stack.enter_context(gzip.open(path)))
    if suffix == ".bz2":
        return cast("IO[bytes]", stack.enter_context(bz2.open(path)))
    if suffix == ".xz":
        return cast("IO[bytes]", stack.enter_context(lzma.open(path)))
    archive = stack.enter_context(zipfile.ZipFile(path))
    return stack.enter_context(archive.open(find_member(archive)))


def iterate_zstd(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a zstandard file, frame by frame; its own reader takes a file that was cut off for a whole one.

    Raises:
        EOFError: it ends in the middle.
        zstandard.ZstdError: it is damaged.
    """
    frame = None
    while piece := file.read(2**20):
        while piece:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(piece)
            piece = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the file ended before its last frame did")


def find_member(archive: zipfile.ZipFile) -> str:
    """The name of the one file in a zip archive.

    Raises:
        ValueError: it holds several, or none.
    """
    members = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if len(members) != 1:
        raise ValueError(f"it holds {len(members)} files ({shorten(members)}), expected one")
    return members[0]
