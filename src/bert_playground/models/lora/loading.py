"""Loading: an adapter folder onto the base that it names, or beside other adapters; with the head it brings."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from bert_playground.logger import logger
from bert_playground.lookup import expand_home, expand_pattern, shorten
from bert_playground.models.architectures import read_config
from bert_playground.models.bert.names import Weights
from bert_playground.models.bert_with_head import BertWithHead, complete_head
from bert_playground.models.heads import BaseHead, HeadConfig, create_head
from bert_playground.models.hub_files import ADAPTER, CONFIG, HUB_ID, find_cached
from bert_playground.models.huggingface import (
    Pretrained,
    head_weights,
    load_encoder,
    load_weights,
    load_with_head,
    read_pretrained,
)
from bert_playground.models.lora.adapter import Base, LoRAAdapter
from bert_playground.models.lora.config import LoRAConfig
from bert_playground.models.lora.folder import (
    AdapterFile,
    absolute,
    hash_encoder,
    read_adapter,
)
from bert_playground.models.lora.patterns import match_whole
from bert_playground.models.lora.peft import PREFIX, fill, normalise
from bert_playground.models.lora.targets import ends_with, find_encoder, hub_parameters

ChooseHead = Callable[[Pretrained], HeadConfig]


def load_base(file: AdapterFile, base: str | None = None) -> Pretrained:
    """Read the checkpoint that an adapter stands on, and check that it is the one.

    Args:
        file: from `read_adapter`.
        base: a folder or Hub id to use instead of the one that it names.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it names none, or the checkpoint has other weights.
    """
    pretrained = _read_base(file, base)
    check_base(
        file, hash_encoder(pretrained) if file.base_hash else None, str(base or file.base_name)
    )
    return pretrained


def _read_base(file: AdapterFile, base: str | None, *, shapes_only: bool = False) -> Pretrained:
    name = base or file.base_name
    hint = f"name its place with --base, or as base_model_name_or_path in {file.folder / ADAPTER}"
    if not name:
        raise ValueError(f"the adapter in {file.folder} does not say what it stands on; {hint}")
    if base is None and not _is_here(file, name):
        name = _find_cached_base(file, name)
    try:
        return read_pretrained(name, shapes_only=shapes_only)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(
            f"the adapter in {file.folder} stands on {name}, which cannot be read: {error}. If it lies elsewhere, {hint}"
        ) from error


def _is_here(file: AdapterFile, name: str) -> bool:
    """Whether the base that an adapter names is a folder, or a pattern of folders, on this machine."""
    try:
        path = expand_home(name)
        return path.is_dir() or bool(expand_pattern(path))
    except OSError as error:  # too long a name
        raise ValueError(
            f"{file.folder / ADAPTER}: base_model_name_or_path is {name!r:.60}, which is no path: {error.strerror}"
        ) from error


def _find_cached_base(file: AdapterFile, name: str) -> str:
    """The folder of a base that was downloaded before: an adapter alone starts no download."""
    folder = find_cached(name) if HUB_ID.fullmatch(name) else None
    if folder is None and HUB_ID.fullmatch(name):
        raise ValueError(
            f"the adapter in {file.folder} stands on {name}, which is not on this machine, and is not downloaded unasked; "
            f"if you trust it, fetch it once: bert model inspect {name}; if it lies elsewhere, name its place with --base"
        )
    return name if folder is None else str(folder)


def check_base(file: AdapterFile, found: str | None, name: str) -> None:
    """Refuse a base with another hash than the one that the adapter was trained on."""
    if file.base_hash is None:
        logger.debug("{} carries no hash of its base; {} is taken for it", file.folder, name)
    elif found != file.base_hash:
        raise ValueError(
            f"the adapter in {file.folder} was trained on another base than {name}: its weights have the hash "
            f"{file.base_hash[:12]}…, these have {str(found)[:12]}…. Find the checkpoint it was trained on, or train again"
        )


def load_adapted(
    folder: str | Path, choose_head: ChooseHead, base: str | None = None
) -> BertWithHead:
    """Read an adapter folder together with its base: the adapter is active, and `model.adapter`.

    Args:
        folder: an adapter with a head, or a Hub id.
        choose_head: says which head a checkpoint has.
        base: a folder or Hub id to use instead of the one that the adapter names.

    Raises:
        FileNotFoundError: no such folder, or its base is not there.
        ValueError: it does not fit its base, all tensors that do not are listed; or the head lacks weights.
    """
    file = read_adapter(folder)
    pretrained = load_base(file, base)
    sha256 = file.base_hash or hash_encoder(pretrained)
    in_encoder = set(hub_parameters(load_encoder(pretrained)))
    pretrained = bring_head(file, pretrained, in_encoder)
    model, report = load_with_head(pretrained, choose_head(pretrained))
    lost = [*report.missing, *report.reshaped]
    if lost:
        raise ValueError(
            f"neither {file.folder} nor its base has weights for the head: {shorten(lost)}; train it again, with "
            "the head among modules_to_save"
        )
    adapter = LoRAAdapter(model, encoder_config(file, pretrained.family.prefix, in_encoder))
    adapter.base = Base(absolute(base or str(file.base_name)), sha256)
    fill(adapter, "default", normalise(adapter, file.tensors))
    model.eval()
    return model


def sketch_adapted(folder: str | Path) -> Pretrained:
    """An adapter folder as the model that it makes of its base, with placeholders for the base's weights.

    Raises:
        FileNotFoundError: no such folder, or its base is not there.
        ValueError: it names no base.
    """
    file = read_adapter(folder)
    pretrained = _read_base(file, None, shapes_only=True)
    in_encoder = set(hub_parameters(load_encoder(pretrained)))
    whole = bring_head(file, pretrained, in_encoder)
    count = sum(t.size for name, t in file.tensors.items() if ".lora_" in name)
    adapter = {"base": file.base_name, "parameters": count, **file.config.to_dict()}
    return replace(whole, folder=file.folder, values={**whole.values, "adapter": adapter})


def load_adapter(
    adapter: LoRAAdapter, folder: str | Path, name: str, choose_head: ChooseHead
) -> None:
    """Add the adapter in a folder, with its head, to those of a base.

    Args:
        adapter: with the base.
        folder: an adapter in PEFT's or mlx-lm's format, or a Hub id.
        name: new.
        choose_head: says which head a checkpoint has.

    Raises:
        ValueError: it was trained on another base, or does not fit; all tensors that do not are listed.
    """
    file = read_adapter(folder)
    if adapter.base is not None:
        check_base(file, adapter.base.sha256, adapter.base.name)
    _, _, prefix = find_encoder(adapter.model)
    config = encoder_config(file, prefix, {name.removeprefix(prefix) for name in adapter.hub})
    # The base is there already, quantized or not.
    adapter.add_adapter(name, replace(config, bits=None))
    try:
        left = fill(adapter, name, normalise(adapter, file.tensors))
        if isinstance(adapter.model, BertWithHead) and left:
            adapter.adapters[name].head = _make_head(adapter, adapter.model, file, choose_head)
    except ValueError:
        del adapter.adapters[name]
        raise


def bring_head(
    file: AdapterFile, pretrained: Pretrained, in_encoder: Collection[str]
) -> Pretrained:
    """A base with the head that an adapter brings in place of its own.

    Layers of the head that the file adapts (PEFT's "all-linear" takes the pooler for one of the encoder's) come merged.

    Args:
        file: the adapter.
        pretrained: the base; only its head is looked at.
        in_encoder: Hugging Face's names of the encoder's parameters, without prefix.

    Raises:
        ValueError: the file adapts what the base does not have.
    """
    head, adapted = Weights(), dict[str, Weights]()
    for full, tensor in file.tensors.items():
        name = full.removeprefix(PREFIX).removeprefix(pretrained.family.prefix)
        name = name.replace(".modules_to_save.", ".").replace(".base_layer.", ".")
        if ".original_module." in name:
            continue
        module, lora, leaf = name.partition(".lora_")
        if lora and f"{module}.weight" not in in_encoder:
            adapted.setdefault(module, {})[leaf.partition(".")[0]] = tensor.astype(mx.float32)
        elif not lora and name not in in_encoder:
            head[name] = tensor.astype(mx.float32)
    known = pretrained.weights | head
    absent = [module for module in adapted if f"{module}.weight" not in known]
    if absent:
        raise ValueError(
            f"{file.folder} adapts {shorten(sorted(absent))}, which the base does not have; is it another architecture?"
        )
    for module, parts in adapted.items():
        head[f"{module}.weight"] = _merged(file.config, module, known[f"{module}.weight"], parts)
    path = file.folder / CONFIG
    values = {**pretrained.values, **read_config(file.folder)}
    if not path.is_file():
        # PEFT's folders do not say how many labels there are; the base's own count is of its own head.
        values = {k: v for k, v in values.items() if k not in ("id2label", "num_labels", "head")}
        values |= {"head": file.values["head"]} if file.values.get("head") else {}
    return replace(pretrained, values=values, weights=pretrained.weights | head)


def encoder_config(file: AdapterFile, prefix: str, in_encoder: Collection[str]) -> LoRAConfig:
    """The config of a file without what it says of the head's layers, which our encoders do not have.

    Args:
        file: the adapter.
        prefix: of the encoder's names in a model with a head.
        in_encoder: Hugging Face's names of the encoder's parameters, without prefix.
    """
    if file.is_own:
        return file.config
    modules = {name.rpartition(".")[0] for name in in_encoder if name.endswith(".weight")}
    known = [*modules, *(prefix + module for module in modules)]

    def fits(key: str) -> bool:
        return any(match_whole(rf"(.*\.)?({key})", known, "rank_pattern or alpha_pattern"))

    targets = file.config.target_modules
    if not isinstance(targets, str):
        brought = {full.removeprefix(PREFIX).partition(".lora_")[0] for full in file.tensors}
        in_head = [n for n in brought if n.removeprefix(prefix) not in modules]
        targets = tuple(
            target
            for target in targets
            if ends_with(known, target) or not ends_with(in_head, target)
        )
    return replace(
        file.config,
        target_modules=targets,
        rank_pattern={k: v for k, v in file.config.rank_pattern.items() if fits(k)},
        alpha_pattern={k: v for k, v in file.config.alpha_pattern.items() if fits(k)},
    )


def _merged(config: LoRAConfig, module: str, weight: mx.array, parts: Weights) -> mx.array:
    patterns = config.alpha_pattern.items()
    fitting = (
        v for k, v in patterns if match_whole(rf"(.*\.)?({k})", [module], "alpha_pattern")[0]
    )
    rank, alpha = parts["A"].shape[0], next(fitting, config.alpha)
    weight = weight + config.scale_of(rank, alpha) * (parts["B"] @ parts["A"])
    if "magnitude_vector" in parts:
        lengths = mx.linalg.norm(weight, axis=1)
        weight = (parts["magnitude_vector"] / lengths)[:, None] * weight
    return weight


def _make_head(
    adapter: LoRAAdapter, model: BertWithHead, file: AdapterFile, choose_head: ChooseHead
) -> BaseHead:
    """The head of another adapter; what the file lacks comes from the base's checkpoint, if that has a name."""
    config = model.encoder.config
    bare = Pretrained(file.folder, config.model_type, {}, config, {}, None)
    in_encoder = {name.removeprefix(bare.family.prefix) for name in adapter.hub}
    is_own = (file.folder / CONFIG).is_file()
    if not is_own and adapter.base is not None:
        bare = read_pretrained(adapter.base.name)
    pretrained = bring_head(file, bare, in_encoder)
    usual = config.head_options()
    head = create_head(complete_head(choose_head(pretrained), bare.family, usual))
    report = load_weights(head, head_weights(head, pretrained))
    if report.missing:
        raise ValueError(f"{file.folder} lacks weights of its head: {shorten(report.missing)}")
    head.train(model.training)
    return head
