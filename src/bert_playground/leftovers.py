"""name_leftover, sweep, sweep_folder, is_alive: temporary files carry the number of their process; what a dead one left is removed."""

import os
import re
import shutil
import socket
import uuid
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# .TARGET.PROCESS-HOST-RANDOM.partial, of earlier versions .TARGET.RANDOM.partial; MLX adds a suffix of its own while it writes.
NAME = re.compile(
    r"\.(?P<target>.+)\.(?:(?P<process>[0-9]+)-(?P<host>[0-9a-f]{8})-)?[0-9a-f]{8}"
    r"\.(?P<what>partial|replaced)(?:\.safetensors)?"
)


def name_leftover(target: Path, what: str) -> Path:
    """A path beside `target` that no other process takes.

    Args:
        target: what it becomes, or was.
        what: "partial" while it is written; "replaced" while a new folder takes its place.
    """
    token = f"{os.getpid()}-{_host()}-{uuid.uuid4().hex[:8]}"
    return target.with_name(f".{target.name}.{token}.{what}")


def sweep(target: Path) -> None:
    """Remove what dead processes left of their tries to write `target`; a folder that one was replacing is put back."""
    if target.parent.is_dir():
        _sweep(path for path in target.parent.iterdir() if _target_of(path) == target.name)


def sweep_folder(folder: Path, *, is_ours: bool = False) -> None:
    """The same of everything in a folder and the folders in it.

    Args:
        folder: is looked through.
        is_ours: nobody else writes there, such as where this process holds the run: what any other process left goes too,
            also one of another machine.
    """
    found = (path for path in sorted(folder.rglob(".*")) if NAME.fullmatch(path.name))
    _sweep(found, is_ours=is_ours)


def _sweep(leftovers: Iterable[Path], *, is_ours: bool = False) -> None:
    for path in list(leftovers):
        found = NAME.fullmatch(path.name)
        if found is None or not (is_ours or _is_dead(found["process"], found["host"])):
            continue
        with suppress(OSError):  # another process sweeps too, or only reads here
            target = path.with_name(found["target"])
            if found["what"] == "replaced" and not target.exists():
                path.rename(target)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _target_of(path: Path) -> str | None:
    found = NAME.fullmatch(path.name)
    return None if found is None else found["target"]


def _is_dead(process: str | None, host: str | None) -> bool:
    """Whether a process has ended; of another machine, or of an earlier version, nobody knows."""
    if process is None or host != _host():
        return False
    return not is_alive(int(process))


def is_alive(process: int) -> bool:
    """Whether a process of this machine, of any user, is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
