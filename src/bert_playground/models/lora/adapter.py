"""LoRAAdapter: choose layers, wrap, freeze, merge."""

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from bert_playground.models.lora.config import TARGETS, LoRAConfig
from bert_playground.models.lora.layers import LoRALinear
from bert_playground.models.tokenwise import Linear, named_parameters


class LoRAAdapter:
    """Put adapters into a model: all of it is frozen but the adapters and, if it has one, the head.

    Args:
        model: an encoder, or an encoder with a head; changed in place.
        config: which projections.

    Raises:
        ValueError: the model has none of the projections, or has adapters already.
    """

    def __init__(self, model: nn.Module, config: LoRAConfig) -> None:
        self.model = model
        self.config = config
        if any(isinstance(module, LoRALinear) for module in model.modules()):
            raise ValueError("the model has adapters already; merge them first")
        places = self.choose()
        if not places:
            raise ValueError(f"the model has none of {', '.join(config.target_modules)}")
        model.freeze()
        if "head" in model:
            model["head"].unfreeze()
        wrapped = [(name, self.wrap(name, linear, parts)) for name, linear, parts in places]
        model.update_modules(tree_unflatten(wrapped))

    def choose(self) -> list[tuple[str, Linear, tuple[int, ...]]]:
        """The layers to adapt: name, layer, and which parts of its output."""
        chosen: dict[str, list[int]] = {}
        for target in self.config.target_modules:
            path, part, _ = TARGETS[target]
            chosen.setdefault(path, []).append(part)
        return [
            (name, module, tuple(sorted(parts)))
            for name, module in self.model.named_modules()
            for path, parts in chosen.items()
            if isinstance(module, Linear) and name.endswith(f".{path}")
        ]

    def wrap(self, name: str, linear: Linear, parts: tuple[int, ...]) -> LoRALinear:
        """The adapted form of one layer; a strategy of one's own replaces this."""
        num_parts = next(count for path, _, count in TARGETS.values() if name.endswith(f".{path}"))
        return LoRALinear.from_base(
            linear,
            rank=self.config.r,
            scale=self.config.scale,
            dropout_rate=self.config.dropout,
            parts=parts,
            num_parts=num_parts,
        )

    def merge(self) -> nn.Module:
        """Add the adapters to the weights they stand beside, take them out and unfreeze the model."""
        fused = [(name, module.fuse()) for name, module in _adapted(self.model)]
        self.model.update_modules(tree_unflatten(fused))
        self.model.unfreeze()
        return self.model


def merged_parameters(model: nn.Module) -> dict[str, mx.array]:
    """All parameters by name as they would be after `merge`; the model itself stays as it is."""
    parameters = named_parameters(model)
    for name, module in _adapted(model):
        for leaf in ("base.weight", "lora_a", "lora_b"):
            del parameters[f"{name}.{leaf}"]
        parameters[f"{name}.weight"] = module.merged_weight()
        bias = parameters.pop(f"{name}.base.bias", None)
        if bias is not None:
            parameters[f"{name}.bias"] = bias
    return parameters


def _adapted(model: nn.Module) -> list[tuple[str, LoRALinear]]:
    return [
        (name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear)
    ]
