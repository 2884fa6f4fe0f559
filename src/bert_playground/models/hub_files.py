"""fetch_folder, read_json, read_weights: the files of a Hub id or a local folder, as they lie."""

import errno
import json
import re
from pathlib import Path
from typing import Any

import mlx.core as mx
from loguru import logger

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
DOWNLOADED = ["*.json", "*.txt", "*.safetensors"]
NOT_DOWNLOADED = ["onnx/*", "openvino/*"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def fetch_folder(name_or_path: str | Path) -> Path:
    """The local folder of a checkpoint; a Hub id is downloaded once and then read from the cache.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: the Hub has no such model or cannot be reached.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    name = str(name_or_path)
    if path.is_file() or not HUB_ID.fullmatch(name):
        raise FileNotFoundError(
            f"no checkpoint folder at {name}; expected a folder with {WEIGHTS}, "
            "or a Hub id such as answerdotai/ModernBERT-base"
        )
    return _download(name)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        logger.info("fetching {} from the Hugging Face Hub (or its local cache)", name)
        return Path(
            snapshot_download(name, allow_patterns=DOWNLOADED, ignore_patterns=NOT_DOWNLOADED)
        )
    # The client raises errors of its own, of its HTTP library and of the system; all mean the same here.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"could not get the model {name!r}: no such folder here, and the download failed ({reason[0]}). "
            "Check the spelling and the network and run the same command again (a download goes on where it "
            "stopped), or give a local folder"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); copy or download it again"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, expected a JSON object")
    return values


def read_weights(folder: Path) -> dict[str, mx.array]:
    """All weights of a folder as f32, from one safetensors file or several shards.

    Raises:
        FileNotFoundError: there are none, or shards are missing.
        ValueError: a file is damaged.
    """
    if (folder / INDEX).exists():
        paths = [
            folder / name for name in sorted(set(read_json(folder / INDEX)["weight_map"].values()))
        ]
    elif (folder / WEIGHTS).exists():
        paths = [folder / WEIGHTS]
    else:
        paths = sorted(folder.glob("*.safetensors"))
    absent = [path.name for path in paths if not path.exists()]
    if absent or not paths:
        raise FileNotFoundError(_what_is_missing(folder, absent))
    weights: dict[str, mx.array] = {}
    for path in paths:
        try:
            loaded = mx.load(str(path))
            assert isinstance(loaded, dict)
            shard = {name: weight.astype(mx.float32) for name, weight in loaded.items()}
            mx.eval(shard)
        except RuntimeError as error:
            raise ValueError(
                f"{path} cannot be read ({error}); it may be cut off: copy or download it again"
            ) from error
        weights |= shard
    return weights


def _what_is_missing(folder: Path, absent: list[str]) -> str:
    if absent:
        return (
            f"{folder} lacks {', '.join(absent)}; a download may have stopped early: run the same command again, "
            "or copy the files there"
        )
    others = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    message = f"{folder} holds no checkpoint: expected {WEIGHTS}, found {found}"
    if others:
        message += "; pickled weights are not read, save the model with safe_serialization=True"
    return message


def read_pooling(folder: Path) -> str | None:
    """The pooling that a sentence-transformers folder was trained with, or None for another folder."""
    path = folder / "1_Pooling" / CONFIG
    if not path.exists():
        return None
    values = read_json(path)
    names = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
    chosen = [name for name, key in names.items() if values.get(f"pooling_mode_{key}")]
    return chosen[0] if len(chosen) == 1 else None
