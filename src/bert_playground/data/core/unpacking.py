"""unpack_file: a packed file to disk, piece by piece."""

import bz2
import gzip
import lzma
import shutil
import zipfile
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
            shutil.copyfileobj(_open_packed(path, stack), file, 2**20)
    except (
        EOFError,
        ValueError,
        lzma.LZMAError,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        zstandard.ZstdError,
    ) as error:
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
    if suffix == ".zst":
        file = stack.enter_context(path.open("rb"))
        return cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(file))
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if len(members) != 1:
        raise ValueError(f"it holds {len(members)} files ({shorten(members)}), expected one")
    return stack.enter_context(archive.open(members[0]))
