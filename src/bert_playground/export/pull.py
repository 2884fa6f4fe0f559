"""pull_model: a checkpoint of the Hub, at a revision, as a folder that answers rows."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bert_playground.files import replaced_directory
from bert_playground.hub_errors import explain_hub_error, is_about_disk
from bert_playground.lookup import shorten
from bert_playground.models.hub_files import (
    DOWNLOADED,
    NOT_DOWNLOADED,
    quiet_bars,
    require_hub_id,
)
from bert_playground.runs import find_checkpoint

# Formats that run no code when they are read; pickles are not even fetched.
FETCHED = [*DOWNLOADED, "*.md", "*.skops", "*.cbm", "LICENSE*"]


@dataclass(frozen=True)
class Pulled:
    """What was fetched.

    Attributes:
        repo: owner and name.
        revision: the commit that was fetched.
        folder: where it lies.
        files: their names, sorted.
        num_bytes: of all files.
    """

    repo: str
    revision: str
    folder: Path
    files: tuple[str, ...]
    num_bytes: int


def pull_model(repo: str, output: Path | None = None, *, revision: str | None = None) -> Pulled:
    """Fetch a checkpoint; the folder appears complete or not at all, and an interrupted download goes on in the cache.

    Args:
        repo: owner/name.
        output: a folder that does not exist, or is empty; None: the name in the current folder.
        revision: a branch, a tag or a commit; None: the newest.

    Raises:
        ValueError: the Hub refuses or does not answer, or there is no checkpoint.
    """
    require_hub_id(repo)
    folder = output or Path(repo.rpartition("/")[2])
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"{folder} exists already and is not empty; give a new folder with --output"
        )
    snapshot = _fetch(repo, revision)
    try:
        find_checkpoint(snapshot)
    except FileNotFoundError as error:
        # Of a repository without a file that is taken, not even the folder is made.
        names = shorten(sorted(path.name for path in snapshot.glob("*"))) or "nothing"
        raise ValueError(
            f"{repo} holds no checkpoint of a kind that is read here (found {names}): expected safetensors, or models beside them"
        ) from error
    with replaced_directory(folder) as temporary:
        shutil.copytree(snapshot, temporary, dirs_exist_ok=True)  # the cache holds links
    files = [path for path in folder.rglob("*") if path.is_file()]
    return Pulled(
        repo,
        snapshot.name,
        folder,
        tuple(sorted(path.relative_to(folder).as_posix() for path in files)),
        sum(path.stat().st_size for path in files),
    )


def _fetch(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    quiet_bars()
    at = "" if revision is None else f" at {revision}"
    try:
        return Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=FETCHED, ignore_patterns=NOT_DOWNLOADED
            )
        )
    # The client raises errors of its own, of its HTTP library and of the system; all mean the same here.
    except Exception as error:
        if is_about_disk(error):
            raise
        raise ValueError(f"{repo}{at} was not pulled: {explain_hub_error(error)}") from error
