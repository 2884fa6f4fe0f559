"""mlx-lm's adapter format: adapters.safetensors and its adapter_config.json, written and read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from bert_playground.files import save_arrays, write_text
from bert_playground.lookup import shorten
from bert_playground.models.bert.names import Weights
from bert_playground.models.heads import BaseHead
from bert_playground.models.lora.adapter import LoRAAdapter
from bert_playground.models.lora.config import LoRAConfig
from bert_playground.models.lora.peft import PREFIX, to_peft
from bert_playground.models.lora.targets import layer_number

MLX_LM_WEIGHTS, HEAD_WEIGHTS = "adapters.safetensors", "head.safetensors"
LEAVES = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}


def is_mlx_lm(values: Mapping[str, Any]) -> bool:
    """Whether an adapter_config.json is mlx-lm's."""
    return "fine_tune_type" in values or "lora_parameters" in values


def read_mlx_lm(
    values: Mapping[str, Any], tensors: Mapping[str, mx.array]
) -> tuple[LoRAConfig, Weights]:
    """Settings and tensors of an mlx-lm adapter, the tensors under PEFT's names and in its shapes.

    Raises:
        ValueError: full fine-tuning, or tensors that are no adapter's; all are listed.
    """
    kind = values.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora"):
        raise ValueError(f"fine_tune_type is {kind!r}, expected 'lora' or 'dora'")
    strange = [name for name in tensors if name.rpartition(".")[2] not in LEAVES]
    if strange:
        raise ValueError(
            f"expected tensors that end in {', '.join(LEAVES)}, found {shorten(sorted(strange), 6)}"
        )
    parameters = values.get("lora_parameters") or {}
    ranks = {n.rpartition(".")[0]: t.shape[1] for n, t in tensors.items() if n.endswith(".lora_a")}
    rank = int(parameters.get("rank", next(iter(ranks.values()), 8)))
    config = LoRAConfig(
        r=rank,
        alpha=float(parameters.get("scale", 20.0)) * rank,
        dropout=float(parameters.get("dropout", 0.0)),
        target_modules=tuple(sorted(ranks, key=layer_number)),
        use_dora=kind == "dora",
    )
    return config, {
        f"{PREFIX}{module}.{LEAVES[leaf]}": tensor if leaf == "m" else tensor.T
        for name, tensor in tensors.items()
        for module, _, leaf in [name.rpartition(".")]
    }


def write_mlx_lm(
    folder: Path, adapter: LoRAAdapter, name: str, head: Mapping[str, mx.array], *, is_shared: bool
) -> None:
    """Write an adapter as mlx-lm does; the head, which it has no place for, goes to head.safetensors beside it.

    Args:
        folder: gets adapters.safetensors, adapter_config.json and, with a head, head.safetensors.
        adapter: whose.
        name: which of its adapters.
        head: the weights of the head under Hugging Face's names.
        is_shared: whether transformers can do this head; mlx-lm can do none.

    Raises:
        ValueError: what the format cannot say: several ranks or scales, biases or modules trained in full.
    """
    config = adapter.adapters[name].config
    values, tensors = to_peft(adapter, name)
    leaves = {theirs: ours for ours, theirs in LEAVES.items()}
    wrong = []
    if values["rank_pattern"] or values["alpha_pattern"]:
        wrong.append("ranks or alphas that differ between layers")
    named, modules = Weights(), set()
    for full, tensor in tensors.items():
        module, leaf = _split(full.removeprefix(PREFIX), tuple(leaves))
        if not leaf:
            wrong.append(f"{module}, trained in full")
            continue
        modules.add(module)
        named[f"{module}.{leaves[leaf]}"] = tensor if tensor.ndim == 1 else tensor.T
    if wrong:
        raise ValueError(f"mlx-lm's format has no place for {shorten(wrong, 6)}; write PEFT's")
    numbers = {int(word) for module in modules for word in module.split(".") if word.isdigit()}
    num_layers = len(adapter.model.get("encoder", adapter.model).layers)
    document = {
        "model": adapter.base.name if adapter.base else None,
        "fine_tune_type": "dora" if config.use_dora else "lora",
        # mlx-lm counts from the last block.
        "num_layers": num_layers - min(numbers, default=0),
        "lora_parameters": {
            "rank": values["r"],
            "scale": config.scale_of(values["r"], values["lora_alpha"]),
            "dropout": config.dropout,
            "keys": sorted({module.split(f".{_number(module)}.")[-1] for module in modules}),
        },
        "head": describe_head(adapter),
    }
    save_arrays(folder / MLX_LM_WEIGHTS, named, {"format": "mlx"})
    if head:
        save_arrays(folder / HEAD_WEIGHTS, dict(head), {"format": "mlx"})
    write_text(folder / "adapter_config.json", json.dumps(document, indent=4) + "\n")


def describe_head(adapter: LoRAAdapter) -> dict[str, Any] | None:
    """The options of the active adapter's head, ready for JSON; None on an encoder alone."""
    head = adapter.active.head
    return head.config.to_dict() if isinstance(head, BaseHead) else None


def _split(name: str, leaves: tuple[str, ...]) -> tuple[str, str]:
    for leaf in leaves:
        if name.endswith(f".{leaf}"):
            return name.removesuffix(f".{leaf}"), leaf
    return name, ""


def _number(module: str) -> str:
    return next((word for word in module.split(".") if word.isdigit()), "")
