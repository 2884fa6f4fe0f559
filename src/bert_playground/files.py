"""Atomic writes of files and folders; errors of a full disk name the path."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx

from bert_playground.leftovers import name_leftover, sweep

# The disk, or what a process may write: whoever writes next will meet it too.
STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
OTHER_DISK = "choose another disk with --output"


def is_storage_error(error: BaseException) -> bool:
    """Whether the disk is full, or fails, or may not be written."""
    return isinstance(error, OSError) and error.errno in STORAGE


@contextmanager
def replaced_file(target: Path, *, is_durable: bool = False) -> Iterator[Path]:
    """A temporary path that takes the place of `target` when the block ends well, and is removed when it does not.

    Args:
        target: the file.
        is_durable: write it through to the disk first, so that a power cut leaves the old one or the whole new one; a
            process that ends does so in any case.
    """
    sweep(target)
    temporary = name_leftover(target, "partial")
    try:
        with disk_errors_named(target):
            yield temporary
            if is_durable:
                sync(temporary)
            temporary.replace(target)
            if is_durable:
                sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `target` when the block ends well, and is removed when it does not.

    An older folder at `target` stays whole until the new one is complete and on the disk: a checkpoint survives a power
    cut as the old one or the whole new one.
    """
    sweep(target)
    temporary, older = name_leftover(target, "partial"), name_leftover(target, "replaced")
    try:
        with disk_errors_named(target):
            temporary.mkdir(parents=True)
            yield temporary
            for path in (*temporary.rglob("*"), temporary):
                sync(path)
            if target.exists():
                target.rename(older)
            temporary.rename(target)
            try:
                sync(target.parent)
            except OSError:
                target.rename(temporary)  # goes, and the older one comes back
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if older.exists() and not target.exists():
            older.rename(target)
        shutil.rmtree(older, ignore_errors=True)


@contextmanager
def restored_on_failure(target: Path) -> Iterator[None]:
    """Put an existing file back, bit for bit, where the block that replaces it and does more fails."""
    older = name_leftover(target, "replaced")
    try:
        with disk_errors_named(target):
            shutil.copy2(target, older)
        try:
            yield
        except BaseException:
            older.replace(target)
            raise
    finally:
        older.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that cannot
            raise
    finally:
        os.close(number)


def write_text(target: Path, text: str, *, is_durable: bool = False) -> None:
    """Write a text file so that it is either the old one or the whole new one; see `replaced_file`."""
    write_bytes(target, text.encode("utf-8"), is_durable=is_durable)


def write_bytes(target: Path, content: bytes, *, is_durable: bool = False) -> None:
    """Write a file so that it is either the old one or the whole new one; folders are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target, is_durable=is_durable) as temporary:
        temporary.write_bytes(content)


def save_arrays(
    target: Path, arrays: dict[str, mx.array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file so that it is either the old one or the whole new one.

    Raises:
        OSError: it cannot be written; ENOSPC when the disk is full.
    """
    with replaced_file(target, is_durable=True) as temporary:
        # MLX adds the suffix to a name that lacks it.
        written = temporary.with_name(f"{temporary.name}.safetensors")
        try:
            mx.save_safetensors(str(written), arrays, metadata=dict(metadata or {}))
            written.replace(temporary)
        except RuntimeError as error:  # what MLX makes of a failed write
            raise OSError(_why_writing_fails(written), str(error), str(target)) from error
        finally:
            written.unlink(missing_ok=True)


@contextmanager
def disk_errors_named(target: Path, remedy: str = OTHER_DISK) -> Iterator[None]:
    """Let the error of a full disk inside the block name the path; `remedy`: what else to do than to free some space."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            errno.ENOSPC,
            f"the disk is full; nothing was half-written. Free some space, or {remedy}",
            str(target),
        ) from error


def _why_writing_fails(path: Path) -> int:
    """The number of the error that one more block at the end of a half-written file runs into."""
    try:
        with path.open("ab") as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno or errno.EIO
    return errno.EIO
