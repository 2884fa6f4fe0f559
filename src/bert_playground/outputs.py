"""open_output: a file that the user named: links are followed, pipes, devices and stdout are written as they are; refuse_inputs."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bert_playground.files import disk_errors_named, replaced_file

STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
DEVICES = ("/dev/", "/proc/")


def is_stdout(path: Path | None) -> bool:
    """Whether a path means standard output, where then nothing else may be written."""
    return path is not None and os.path.normpath(path) in STDOUT


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Write a file that the user named.

    A regular file is the old one or the whole new one, and its folder is made; of a link it is the target that is
    written. What is no regular file, such as a pipe, a device or standard output, is never replaced: it gets the bytes as
    they come.

    Raises:
        OSError: it cannot be written.
    """
    if is_stdout(path):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    if str(Path(path).absolute()).startswith(DEVICES) or _is_special(target):
        with disk_errors_named(path), target.open("wb") as file:
            yield file
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as temporary, temporary.open("wb") as file:
        yield file


def write_output(path: Path, content: bytes) -> None:
    """Write a file that the user named in one go; see `open_output`."""
    with open_output(path) as file:
        file.write(content)


def refuse_inputs(output: Path | None, inputs: Iterable[Path | None]) -> None:
    """Refuse to write over what is read.

    Raises:
        ValueError: the output is one of the inputs, by its own or another name.
    """
    if output is None or is_stdout(output) or not output.exists() or _is_special(output):
        return
    for each in inputs:
        if each is not None and each.exists() and output.samefile(each):
            named = f"{each}" if each == output else f"{each}, which it is another name of"
            raise ValueError(
                f"--output {output} would overwrite the table that is read ({named}); choose another file"
            )


def _is_special(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()
