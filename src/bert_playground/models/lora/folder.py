"""Adapter folders: adapter_config.json and adapter_model.safetensors, written and read; the hash of a base."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np

from bert_playground.documents import Document, check, parse_json, read_json, schema_of
from bert_playground.files import save_arrays, write_text
from bert_playground.lookup import expand_home, shorten
from bert_playground.models.bert.names import Weights
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import ADAPTER, WEIGHTS, fetch_folder
from bert_playground.models.huggingface import Pretrained, load_encoder
from bert_playground.models.lora.adapter import Base, LoRAAdapter
from bert_playground.models.lora.config import LoRAConfig
from bert_playground.models.lora.mlx_lm import (
    HEAD_WEIGHTS,
    MLX_LM_WEIGHTS,
    describe_head,
    is_mlx_lm,
    read_mlx_lm,
    write_mlx_lm,
)
from bert_playground.models.lora.peft import PREFIX, read_peft_config, to_peft
from bert_playground.models.lora.targets import find_encoder
from bert_playground.models.tokenwise import named_parameters
from bert_playground.models.weight_files import read_headers, require_finite

ADAPTER_WEIGHTS = "adapter_model.safetensors"
METADATA = "bert_playground"  # what PEFT has no key for, in the safetensors file's own metadata


class ParametersDocument(Document):
    """What mlx-lm's format says of an adapter's layers."""

    rank: int | None = None
    scale: float | None = None
    dropout: float | None = None


class AdapterDocument(Document):
    """adapter_config.json of PEFT or mlx-lm, as far as it is read here; what PEFT may leave out may be null."""

    peft_type: str | None = None
    base_model_name_or_path: str | None = None
    r: int = 8
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    target_modules: str | list[str] | None = None
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    layers_to_transform: int | list[int] | None = None
    modules_to_save: str | list[str] | None = None
    exclude_modules: str | list[str] | None = None
    bias: str | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    init_lora_weights: bool | str | None = None
    model: str | None = None
    fine_tune_type: str = "lora"
    lora_parameters: ParametersDocument | None = None
    head: dict[str, Any] | None = None


class OwnDocument(Document):
    """What we write into an adapter's safetensors file."""

    lora: dict[str, Any] | None = None
    head: dict[str, Any] | None = None
    base_sha256: str | None = None


@dataclass(frozen=True)
class AdapterFile:
    """An adapter folder that has been read.

    Attributes:
        folder: where it lies.
        values: its adapter_config.json; under "head" the options of our head, where we wrote it.
        config: what that means.
        tensors: under PEFT's names.
        base_name: the folder or Hub id that it names, or None.
        base_hash: of the base it was trained on, or None where that is not known.
        is_own: whether we wrote it; then `config` is what was asked for, and not only what PEFT has keys for.
    """

    folder: Path
    values: dict[str, Any]
    config: LoRAConfig
    tensors: Weights
    base_name: str | None
    base_hash: str | None
    is_own: bool = False


def base_of(name: str, pretrained: Pretrained) -> Base:
    """The base that a checkpoint is, under the name it was asked for; a folder's becomes absolute."""
    return Base(absolute(name), hash_encoder(pretrained))


def hash_encoder(pretrained: Pretrained) -> str:
    """SHA-256 over names, shapes and values of a checkpoint's encoder, whatever files it is spread over."""
    hasher = hashlib.sha256()
    weights = pretrained.weights
    # What else lies there belongs to heads.
    for name in sorted(weights.keys() & named_parameters(load_encoder(pretrained)).keys()):
        hasher.update(f"{name}{list(weights[name].shape)}".encode())
        hasher.update(np.asarray(weights[name].view(mx.uint8)).data)
    return hasher.hexdigest()


def is_outside(adapter: LoRAAdapter, hub_name: str) -> bool:
    """Whether a weight of the whole model, by Hugging Face's name, belongs to the head."""
    return hub_name not in adapter.hub and not hub_name.endswith((".scales", ".biases"))


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / ADAPTER).is_file() and not (folder / WEIGHTS).is_file()


def saved_apart(model: BertWithHead) -> LoRAAdapter | None:
    """The adapters of a model, where they can be saved without its base: because the base has a name."""
    adapter: LoRAAdapter | None = getattr(model, "adapter", None)
    if adapter is None or adapter.is_merged or adapter.base is None:
        return None
    return adapter


def write_peft(
    folder: Path, adapter: LoRAAdapter, name: str, head: Mapping[str, mx.array], *, is_shared: bool
) -> None:
    """Write an adapter and its head as PEFT does, into a folder that exists.

    Args:
        folder: gets adapter_config.json and adapter_model.safetensors.
        adapter: whose.
        name: which of its adapters.
        head: the weights of the head under Hugging Face's names.
        is_shared: whether transformers can do this head; otherwise PEFT reads the encoder's part alone.
    """
    values, tensors = to_peft(adapter, name)
    _, _, prefix = find_encoder(adapter.model)
    saved = {key.rpartition(".")[0] for key in head}
    if head and is_shared:
        values["task_type"] = "SEQ_CLS"
        values["modules_to_save"] = sorted(saved | set(values["modules_to_save"] or ()))
    elif prefix:
        # Without the classification class there is no prefix.
        tensors = {key.replace(PREFIX + prefix, PREFIX, 1): t for key, t in tensors.items()}
        values = _without_prefix(values, prefix)
    values["base_model_name_or_path"] = adapter.base.name if adapter.base else None
    tensors |= {PREFIX + key: weight for key, weight in head.items()}
    own = {
        "lora": adapter.adapters[name].config.to_dict(),
        "base_sha256": adapter.base.sha256 if adapter.base else None,
        "head": describe_head(adapter),
    }
    metadata = {"format": "pt", METADATA: json.dumps(own)}
    save_arrays(folder / ADAPTER_WEIGHTS, tensors, metadata)
    write_text(folder / ADAPTER, json.dumps(values, indent=2) + "\n")


ADAPTER_WRITERS = {"peft": write_peft, "mlx-lm": write_mlx_lm}


def read_adapter(folder: str | Path) -> AdapterFile:
    """Read an adapter in PEFT's format, a folder or Hub id, or in mlx-lm's.

    Raises:
        FileNotFoundError: no folder, or files are missing in it.
        ValueError: a damaged file, or features that are on and that we do not have.
    """
    folder = fetch_folder(folder)
    if not (folder / ADAPTER).is_file():
        raise FileNotFoundError(f"{folder} holds no adapter: expected {ADAPTER} in it")
    values = read_json(folder / ADAPTER)
    check(AdapterDocument, values, folder / ADAPTER)
    if values.get("head"):
        check(schema_of(HeadConfig, nullable=False), values["head"], f"{folder / ADAPTER}, head")
    if is_mlx_lm(values):
        tensors, _ = _load(folder / MLX_LM_WEIGHTS)
        config, tensors = read_mlx_lm(values, tensors)
        if (folder / HEAD_WEIGHTS).is_file():
            head, _ = _load(folder / HEAD_WEIGHTS)
            tensors |= {PREFIX + name: weight for name, weight in head.items()}
        return AdapterFile(folder, values, config, tensors, values.get("model"), None)
    config = read_peft_config(values)
    tensors, metadata = _load(folder / ADAPTER_WEIGHTS)
    own = _read_own(metadata, folder / ADAPTER_WEIGHTS)
    if "lora" in own:
        config = LoRAConfig.from_dict(own["lora"])
        values = {**values, "head": own.get("head")}
    name = values.get("base_model_name_or_path")
    return AdapterFile(folder, values, config, tensors, name, own.get("base_sha256"), "lora" in own)


def _read_own(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What we wrote into the file besides PEFT's settings; {} where another program wrote it."""
    if METADATA not in metadata:
        return {}
    where = f"{path}, metadata"
    own: dict[str, Any] = parse_json(metadata[METADATA], where)
    check(OwnDocument, own, where)
    for key, kind in (("lora", LoRAConfig), ("head", HeadConfig)):
        if own.get(key) is not None:
            check(schema_of(kind, nullable=False), own[key], f"{where}, {key}")
    return own


def _without_prefix(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    def bare(key: str) -> str:
        return key.removeprefix(prefix)

    listed = {
        key: sorted(map(bare, values[key])) if values[key] else values[key]
        for key in ("target_modules", "modules_to_save")
    }
    patterns = {
        key: {bare(name): value for name, value in values[key].items()}
        for key in ("rank_pattern", "alpha_pattern")
    }
    return {**values, **listed, **patterns}


def _load(path: Path) -> tuple[Weights, dict[str, str]]:
    if not path.is_file():
        found = shorten(sorted(child.name for child in path.parent.iterdir())) or "nothing"
        pickled = path.with_suffix(".bin")
        hint = (
            "; pickled adapters are not read, save it with safe_serialization=True"
            if pickled.is_file()
            else ""
        )
        raise FileNotFoundError(f"{path.parent} lacks {path.name}: found {found}{hint}")
    read_headers([path])
    try:
        tensors, metadata = cast(
            "tuple[Weights, dict[str, str]]", mx.load(str(path), return_metadata=True)
        )
        mx.eval(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); it may be cut off: copy or download it again"
        ) from error
    require_finite(tensors, path)
    return tensors, metadata


def absolute(name: str) -> str:
    """The name of a base, and if it is a folder's, from wherever it is used."""
    path = expand_home(name)
    return str(path.resolve()) if path.is_dir() else name
