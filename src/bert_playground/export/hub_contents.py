"""collect_contents: what of a checkpoint folder belongs on the Hub, and what stays here and why."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bert_playground.documents import read_json
from bert_playground.export.card_facts import FACTS
from bert_playground.models.ensemble import read_manifest, resolve_inside
from bert_playground.models.hub_files import ADAPTER, HUB_ID, PIPELINE
from bert_playground.models.lora.folder import ADAPTER_WEIGHTS
from bert_playground.models.lora.mlx_lm import HEAD_WEIGHTS, MLX_LM_WEIGHTS
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME

CARD = "README.md"
BASE_KEYS = ("base_model_name_or_path", "model")  # of PEFT and of mlx-lm
# Of the folder of one model: what answers rows, and nothing that is not on this list.
WANTED = (
    "config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    ADAPTER,
    ADAPTER_WEIGHTS,
    MLX_LM_WEIGHTS,
    HEAD_WEIGHTS,
    PIPELINE,
    "tokenizer/tokenizer.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "modules.json",
    "1_Pooling/config.json",
    ESTIMATOR_NAME,
    CARD,
    FACTS,
    "LICENSE*",
)
STAYS = {
    "oof.parquet": "answers to training rows",
    "answers.*": "answers to training rows",
    "report.html": "it shows training rows",
    "optimizer.safetensors": "of a run that is resumed",
    "state.json": "of a run that is resumed",
    "*.parquet": "rows of a table",
    "*.csv": "rows of a table",
    ".env*": "it may hold secrets",
    "kaggle.json": "it may hold secrets",
    "*.log": "it names this machine",
    "environment.json": "it names this machine",
}
OTHERWISE = "not needed to answer rows"
SECRETS = {
    "a token of Hugging Face": r"\bhf_[A-Za-z0-9]{20,}",
    "a token of Kaggle": r"\bKGAT_[A-Za-z0-9]{16,}",
    "a token of GitHub": r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    "a key of AWS": r"\bAKIA[0-9A-Z]{16}\b",
    "an API key": r"\bsk-[A-Za-z0-9_-]{24,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
FOLDERS = re.compile(r"(?<![\w/:.])/(?:[^\s/,;'\"]+/)+(?=[^\s/,;'\"])")
TEXTS = (".json", ".md", ".txt")


@dataclass(frozen=True)
class Contents:
    """What is sent.

    Attributes:
        files: name in the repository → a file here, or its content where that differs from the file's.
        left_out: name in the folder → why it stays.
    """

    files: Mapping[str, Path | bytes]
    left_out: Mapping[str, str]

    def size_of(self, name: str) -> int:
        """Bytes of one file."""
        file = self.files[name]
        return len(file) if isinstance(file, bytes) else file.stat().st_size


def collect_contents(folder: Path, base: str | None = None) -> Contents:
    """Look through a checkpoint, an ensemble, a blend or a model beside the encoder.

    Args:
        folder: with weights, or with the file that names the models that answer together.
        base: Hub id that adapters are to name; None: the one that they name.

    Raises:
        ValueError: a secret in a file that would be sent, or an adapter on a base that nobody else has.
    """
    files: dict[str, Path | bytes] = {}
    for part in _parts(folder):
        for path in _wanted_files(part):
            files[path.relative_to(folder).as_posix()] = path
    files |= _shared_adapters(files, base)
    files |= _without_folders(files)
    _refuse_secrets(files)
    inside = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in inside)
    return Contents(
        dict(sorted(files.items())), {name: _why(name) for name in names if name not in files}
    )


def find_base(folder: Path) -> str | None:
    """What the adapters among the models of a folder stand on; None: there is none, or it has no name."""
    adapters = [part / ADAPTER for part in _parts(folder) if (part / ADAPTER).is_file()]
    if not adapters:
        return None
    values = read_json(adapters[0])
    return values.get(_base_key(values)) or None


def _parts(folder: Path) -> list[Path]:
    """The folders whose files are looked at: of each model, and of what lies beside the file that names them."""
    if (folder / BLEND_NAME).is_file():
        members = read_json(folder / BLEND_NAME).get("members") or {}
        names = [name for folders in members.values() for name in folders]
        return [folder, folder / "pipeline", *resolve_inside(folder, names, BLEND_NAME)]
    if (folder / ENSEMBLE_NAME).is_file():
        return [folder, *read_manifest(folder).members]
    return [folder]


def _wanted_files(part: Path) -> Iterator[Path]:
    together = [name for name in (BLEND_NAME, ENSEMBLE_NAME) if (part / name).is_file()]
    # Beside these a run keeps its settings, which a model's config.json is not.
    wanted = {*together, CARD, FACTS} if together else {*WANTED, *_estimator_files(part)}
    for path in sorted([*part.glob("*"), *part.glob("*/*.json")]):
        name = path.relative_to(part).as_posix()
        if path.is_file() and any(fnmatch(name, pattern) for pattern in wanted):
            yield path


def _estimator_files(part: Path) -> set[str]:
    path = part / ESTIMATOR_NAME
    return set(read_json(path).get("sha256") or {}) if path.is_file() else set()


def _shared_adapters(files: Mapping[str, Path | bytes], base: str | None) -> dict[str, bytes]:
    """The configurations of adapters that are to name another base; the hash of the right one is in the weights."""
    changed = {}
    for name, path in files.items():
        if not name.endswith(ADAPTER) or isinstance(path, bytes):
            continue
        values = read_json(path)
        key = _base_key(values)
        named = str(values.get(key) or "")
        if base is not None:
            text = json.dumps({**values, key: base}, indent=2, ensure_ascii=False) + "\n"
            changed[name] = text.encode()
        elif not HUB_ID.fullmatch(named) or Path(named).exists():
            raise ValueError(
                f"the adapter {path.parent} stands on {named or 'a base without a name'}, which is on this machine alone; "
                "push the whole model: bert model merge --checkpoint … --output NEW_FOLDER, or, where that base is on the Hub "
                "too, name it by --base OWNER/NAME"
            )
    if base is not None and not changed:
        raise ValueError(f"--base {base} is for adapters, and there is none; leave it out")
    return changed


def _base_key(adapter: Mapping[str, Any]) -> str:
    """Under which the configuration of an adapter names its base."""
    return next((key for key in BASE_KEYS if adapter.get(key)), BASE_KEYS[0])


def without_folders(text: str) -> str:
    """The text with absolute paths cut to their last names: they name a machine and its user."""
    return FOLDERS.sub("", text)


def _without_folders(files: Mapping[str, Path | bytes]) -> dict[str, bytes]:
    """Pipelines whose statements name folders of this machine, without these; how rows are read does not change."""
    changed = {}
    for name, path in files.items():
        if name.rpartition("/")[2] != PIPELINE or isinstance(path, bytes):
            continue
        document = read_json(path)
        said = document.get("statements") or []
        shared = [without_folders(str(each)) for each in said]
        if shared != said:
            changed[name] = json.dumps(
                {**document, "statements": shared}, indent=2, ensure_ascii=False
            ).encode()
    return changed


def _refuse_secrets(files: Mapping[str, Path | bytes]) -> None:
    found = []
    for name, file in files.items():
        if not name.endswith(TEXTS):
            continue
        text = (file if isinstance(file, bytes) else file.read_bytes()).decode(errors="replace")
        found += [f"{kind} in {name}" for kind, form in SECRETS.items() if re.search(form, text)]
    if found:
        raise ValueError(
            f"nothing was sent: {', '.join(found)}. Take it out of the file or of the table and train again; a secret that "
            "others have seen has to be replaced where it was made"
        )


def _why(name: str) -> str:
    file = name.rpartition("/")[2]
    return next((why for pattern, why in STAYS.items() if fnmatch(file, pattern)), OTHERWISE)
