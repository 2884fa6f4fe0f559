"""download_competition: the files of a competition in a folder, complete or not there; goes on where it was broken off."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_playground.data.kaggle.client import KaggleClient
from bert_playground.data.kaggle.records import DataFile
from bert_playground.data.kaggle.unpack import MOST_BYTES, TooLargeError, unpack_archive
from bert_playground.lookup import nearest, shorten


@dataclass(frozen=True)
class Download:
    """What is in the folder.

    Attributes:
        files: all that were asked for, relative to the folder.
        fetched: those of them that came now; the others were there already.
    """

    files: tuple[str, ...]
    fetched: tuple[str, ...]


def download_competition(
    client: KaggleClient,
    competition: str,
    folder: Path,
    *,
    names: Sequence[str] = (),
    most_bytes: int = MOST_BYTES,
    force: bool = False,
    keep: bool = False,
) -> Download:
    """Fetch files that are not there with Kaggle's size, check them, and move each to its place with one rename.

    Args:
        client: of the user.
        competition: its name on Kaggle.
        folder: to fill; it is made.
        names: of files; none: all of them.
        most_bytes: that unpacked files may have together.
        force: replace files that are there.
        keep: take files that are there for right, whatever their size: the user may have changed them.

    Raises:
        KaggleError: Kaggle refuses, or the download was broken off; what arrived waits in a hidden folder beside `folder`.
        ValueError: a file that is there has another size, or the archive is not to be trusted; see `unpack_archive`.
    """
    listed = client.list_files(competition)
    wanted = listed if not names else _choose(listed, names, competition)
    if not wanted:
        raise ValueError(f"competition {competition!r} has no files")
    lacking = list(wanted) if force else _not_there(wanted, folder, keep=keep)
    if lacking:
        folder.parent.mkdir(parents=True, exist_ok=True)
        waiting = folder.parent / f".{folder.name}.download"
        try:
            if names or len(lacking) < len(listed):
                for file in lacking:
                    _fetch_one(client, competition, file, folder, waiting, most_bytes)
            else:
                _fetch_all(client, competition, lacking, folder, waiting, most_bytes)
        except ValueError:
            if not any(path.is_file() for path in waiting.rglob("*")):
                shutil.rmtree(waiting, ignore_errors=True)
            raise
        shutil.rmtree(waiting, ignore_errors=True)
    return Download(tuple(f.name for f in wanted), tuple(f.name for f in lacking))


def _choose(listed: list[DataFile], names: Sequence[str], competition: str) -> list[DataFile]:
    by_name = {file.name: file for file in listed}
    wrong = [name for name in names if name not in by_name]
    if wrong:
        hints = ", ".join(f"{name!r}{nearest(name, by_name)}" for name in wrong)
        raise ValueError(f"{competition!r} has no file {hints} (it has: {shorten(by_name)})")
    return [by_name[name] for name in names]


def _not_there(wanted: Iterable[DataFile], folder: Path, *, keep: bool) -> list[DataFile]:
    lacking, other = [], []
    for file in wanted:
        path = folder / _inside(file.name)
        if not path.exists():
            lacking.append(file)
        elif not keep and file.num_bytes and path.stat().st_size != file.num_bytes:
            other.append(
                f"{path} has {path.stat().st_size:,} bytes, Kaggle's has {file.num_bytes:,}"
            )
    if other:
        raise ValueError(
            f"{'; '.join(other)}: nothing was downloaded. Move what is yours away, or replace it with --force"
        )
    return lacking


def _inside(name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise ValueError(f"Kaggle lists a file {name!r}, which would leave the folder; not fetched")
    return path


def _fetch_all(
    client: KaggleClient,
    competition: str,
    files: list[DataFile],
    folder: Path,
    waiting: Path,
    most_bytes: int,
) -> None:
    parts = waiting / "all"
    parts.mkdir(parents=True, exist_ok=True)
    archive = client.fetch_bundle(competition, parts)
    with tempfile.TemporaryDirectory(dir=waiting, prefix="unpacked-") as name:
        unpacked = Path(name)
        if zipfile.is_zipfile(archive):
            _unpack_or_discard(archive, unpacked, most_bytes)
        elif len(files) == 1:
            archive.rename(unpacked / files[0].name)
        else:
            archive.unlink()
            raise ValueError(f"{archive.name} is no zip archive; download single files with --file")
        _check_sizes(unpacked, files)
        _move_all(unpacked, folder)


def _unpack_or_discard(archive: Path, folder: Path, most_bytes: int) -> None:
    """Unpack; a damaged or dangerous archive is not kept, a large one is: it need not come again."""
    try:
        unpack_archive(archive, folder, most_bytes)
    except TooLargeError:
        raise
    except ValueError:
        archive.unlink(missing_ok=True)
        raise


def _fetch_one(
    client: KaggleClient,
    competition: str,
    file: DataFile,
    folder: Path,
    waiting: Path,
    most_bytes: int,
) -> None:
    parts = waiting / file.name.replace("/", "__")
    parts.mkdir(parents=True, exist_ok=True)
    arrived = client.fetch_file(competition, file.name, parts)
    with tempfile.TemporaryDirectory(dir=waiting, prefix="unpacked-") as name:
        target = Path(name) / _inside(file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        is_wrapped = not file.name.endswith(".zip") and zipfile.is_zipfile(arrived)
        if is_wrapped:  # Kaggle packs large files
            inner = Path(name) / "inner"
            inner.mkdir()
            _unpack_or_discard(arrived, inner, most_bytes)
            found = [path for path in inner.rglob("*") if path.is_file()]
            if len(found) != 1:
                raise ValueError(f"{file.name} came as an archive of {len(found)} files, not one")
            found[0].rename(target)
            shutil.rmtree(inner)
        else:
            arrived.rename(target)
        _check_sizes(Path(name), [file])
        _move_all(Path(name), folder)


def _check_sizes(folder: Path, files: Iterable[DataFile]) -> None:
    faults = []
    for file in files:
        path = folder / _inside(file.name)
        if not path.is_file():
            faults.append(f"{file.name} is missing")
        elif file.num_bytes and path.stat().st_size != file.num_bytes:
            faults.append(f"{file.name} has {path.stat().st_size:,} of {file.num_bytes:,} bytes")
    if faults:
        raise ValueError(
            f"the download is not what Kaggle lists: {shorten(faults, 5)}; nothing was kept, repeat the command"
        )


def _move_all(source: Path, folder: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
