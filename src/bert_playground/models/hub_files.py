"""fetch_folder: the folder of a Hub id or a path, and the names of its files."""

import re
import sys
from functools import cache
from pathlib import Path

from bert_playground.hub_errors import explain_hub_error, is_about_disk
from bert_playground.logger import logger
from bert_playground.lookup import expand_home, expand_pattern, name_neighbours, nearest
from bert_playground.models.bert_with_head import ENCODERS

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PIPELINE = "pipeline.json"  # beside the checkpoints that `bert train` and `bert pretrain` write
ADAPTER = "adapter_config.json"  # of PEFT and of mlx-lm
DOWNLOADED = ["*.json", "*.txt", "*.safetensors"]
NOT_DOWNLOADED = ["onnx/*", "openvino/*"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def fetch_folder(name_or_path: str | Path) -> Path:
    """The local folder of a checkpoint; a Hub id is downloaded once and then read from the cache.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: the Hub has no such model or cannot be reached.
    """
    path = expand_home(name_or_path)
    if path.is_dir():
        return path
    if found := [each for each in expand_pattern(path) if each.is_dir()]:
        return found[-1]
    name = str(name_or_path)
    if path.is_file():
        raise FileNotFoundError(
            f"{name} is a file; give the folder that holds it together with its {CONFIG}, {path.parent}"
        )
    if not HUB_ID.fullmatch(name):
        raise FileNotFoundError(
            f"no checkpoint folder at {name}{name_neighbours(path)}; expected a folder with {WEIGHTS}, "
            "or a Hub id such as answerdotai/ModernBERT-base"
        )
    return _download(name)


def find_cached(name: str) -> Path | None:
    """The folder of a Hub id that was downloaded before; nothing is fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # The files that a download takes: of others, such as a picture of the card, none is expected.
        folder = Path(
            snapshot_download(
                name,
                local_files_only=True,
                allow_patterns=DOWNLOADED,
                ignore_patterns=NOT_DOWNLOADED,
            )
        )
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None
    return folder if (folder / CONFIG).is_file() else None


def require_hub_id(name: str) -> None:
    """Refuse what no repository of the Hub can be called.

    Raises:
        ValueError: such a name.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(
            f"{name!r} is no name of the Hub; expected OWNER/NAME of letters, digits, '-', '_' and '.', such as ada/titanic"
        ) from error


def quiet_bars() -> None:
    """Let the client of the Hub draw no bars where nobody sees them move, such as in a log."""
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()


@cache
def _say_fetched(name: str) -> None:
    """Once, however often a run asks for the folder."""
    logger.info("fetching {} from the Hugging Face Hub (or its local cache)", name)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    quiet_bars()
    try:
        _say_fetched(name)
        return Path(
            snapshot_download(name, allow_patterns=DOWNLOADED, ignore_patterns=NOT_DOWNLOADED)
        )
    # The client raises errors of its own, of its HTTP library and of the system; all mean the same here.
    except Exception as error:
        if is_about_disk(error):
            raise
        meant, forms = _find_meant(name)
        raise ValueError(
            f"could not get the model {name!r}{meant or ':'} no such folder here, and {explain_hub_error(error)}. "
            f"A download that broke off goes on where it stopped; or give a local folder{forms}"
        ) from error


def _find_meant(name: str) -> tuple[str, str]:
    """Of a name without an owner, which few models of the Hub have: the nearest one known here, and what names may be."""
    if "/" in name:
        return "", ""
    folders = [path.name for path in Path().iterdir() if (path / CONFIG).is_file()]
    forms = f"; {', '.join(ENCODERS)} start from random weights, a Hub id has the form owner/name"
    return nearest(name, [*ENCODERS, *folders]), forms
