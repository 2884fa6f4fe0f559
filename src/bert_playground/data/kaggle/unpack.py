"""unpack_archive: the files of a zip into a folder that nothing in it can leave, within a stated size."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from bert_playground.files import disk_errors_named
from bert_playground.lookup import shorten

GIB = 2**30
MOST_BYTES = 20 * GIB  # of all files together, unless more is asked for
CHUNK = 2**20
SPARE = 2**26  # bytes that a disk keeps


class TooLargeError(ValueError):
    """An archive has more than may be unpacked; it is not to blame, and need not come again."""


def unpack_archive(archive: Path, folder: Path, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Unpack everything, or nothing: names, links and sizes are checked before the first byte is written.

    Args:
        archive: a zip.
        folder: an empty one.
        most_bytes: that all files may have together.

    Returns:
        Relative paths of the files.

    Raises:
        TooLargeError: the whole is too large for the limit or the disk.
        ValueError: a name leads out of the folder, an entry is a link or locked, or the archive is damaged or of an unknown
            compression.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            paths = _check_entries(archive, entries)
            _check_size(archive, folder, sum(entry.file_size for entry in entries), most_bytes)
            left = most_bytes
            for entry, path in zip(entries, paths, strict=True):
                left -= _write_entry(opened, entry, folder / path, left)
                if left < 0:
                    raise _too_large(archive, f"more than {most_bytes:,}", most_bytes)
    except NotImplementedError as error:  # a compression that zipfile does not know
        raise ValueError(
            f"{archive} cannot be unpacked here ({error}), and nothing of it was kept; download its files one by one with "
            "--file NAME"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{archive} is a damaged archive ({error}); nothing of it was kept: remove it and download again"
        ) from error
    return paths


def _check_entries(archive: Path, entries: list[zipfile.ZipInfo]) -> list[Path]:
    faults = [fault for entry in entries for fault in _faults_of(entry)]
    paths = [Path(*PurePosixPath(entry.filename).parts) for entry in entries]
    lowered = [str(path).lower() for path in paths]
    faults += sorted({f"{name!r} is there twice" for name in lowered if lowered.count(name) > 1})
    if faults:
        raise ValueError(
            f"{archive} is not unpacked: {shorten(faults, 5)}; nothing was written. Do not trust its source"
        )
    return paths


def _faults_of(entry: zipfile.ZipInfo) -> Iterator[str]:
    name = entry.orig_filename
    windows = PureWindowsPath(name)
    if windows.drive or windows.root or ".." in windows.parts or "\0" in name or not windows.parts:
        yield f"{name!r} would leave the folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        yield f"{name!r} is a link"
    if entry.flag_bits & 1:
        yield f"{name!r} needs a password"


def _check_size(archive: Path, folder: Path, num_bytes: int, most_bytes: int) -> None:
    if num_bytes > most_bytes:
        raise _too_large(archive, f"{num_bytes:,}", most_bytes)
    free = shutil.disk_usage(folder).free
    if num_bytes > free - SPARE:
        raise TooLargeError(
            f"{archive} unpacks to {num_bytes:,} bytes, and {folder} has {free:,} left; nothing was written. Free some "
            "space, or choose another disk with --output"
        )


def _too_large(archive: Path, num_bytes: str, most_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"{archive} unpacks to {num_bytes} bytes, the limit is {most_bytes:,} ({most_bytes / GIB:g} GiB); nothing was "
        "kept. Raise it with --max-size GIB if that is right"
    )


def _write_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, left: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with disk_errors_named(path), opened.open(entry) as source, path.open("xb") as target:
        while (chunk := source.read(CHUNK)) and written <= left:  # a header may lie
            written += len(chunk)
            target.write(chunk)
    return written
