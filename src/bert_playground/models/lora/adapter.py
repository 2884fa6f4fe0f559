"""LoRAAdapter: choose layers, wrap, freeze, switch between named adapters, merge and take apart again."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from bert_playground.lookup import look_up
from bert_playground.models.lora.config import LoRAConfig
from bert_playground.models.lora.layers import DoRALinear, LoRALinear
from bert_playground.models.lora.merging import fuse_all, mean_head
from bert_playground.models.lora.targets import (
    Place,
    choose_places,
    find_encoder,
    find_modules,
    find_places,
    hub_parameters,
)
from bert_playground.models.quantization_utils import quantize_model, quantized_layers
from bert_playground.models.quantized_layers import QuantizedLinear
from bert_playground.models.tokenwise import Linear, named_parameters

Layers = dict[str, LoRALinear]


@dataclass(frozen=True)
class Base:
    """What adapters stand on.

    Attributes:
        name: a folder or a Hub id.
        sha256: of the encoder's weights.
    """

    name: str
    sha256: str


@dataclass
class NamedAdapter:
    """One of the adapters of a base.

    Attributes:
        config: what was asked.
        places: what that means in this model.
        layers: the adapted layers by our names.
        head: the head that belongs to it; None on an encoder alone.
        extras: what else it trains (biases, modules_to_save), by name, as it was when it was deactivated.
    """

    config: LoRAConfig
    places: list[Place]
    layers: Layers
    head: nn.Module | None
    extras: dict[str, mx.array] = field(default_factory=dict)


class LoRAAdapter:
    """Put adapters into a model: all of it is frozen but the adapters and, if it has one, the head.

    More adapters can be added, each with its own head; one at a time is active. The frozen weights are never touched:
    they are there once, whichever adapter is active, and come back bit for bit.

    Args:
        model: an encoder, or an encoder with a head; changed in place, and known to it as `model.adapter`.
        config: which layers, and how.
        name: of this first adapter.

    Raises:
        ValueError: names that fit nothing, ranks larger than layers, or a model that has adapters already.
    """

    def __init__(self, model: nn.Module, config: LoRAConfig, name: str = "default") -> None:
        if any(isinstance(module, LoRALinear) for module in model.modules()):
            raise ValueError(
                "the model has adapters already; merge them first, or add to them with model.adapter.add_adapter"
            )
        encoder, _, _ = find_encoder(model)
        if config.bits is not None and not _is_quantized_so(encoder, config):
            quantize_model(encoder, bits=config.bits, group_size=config.group_size)
        self.model = model
        self.base: Base | None = None  # known when the encoder came from a checkpoint
        self.hub = hub_parameters(model)
        self.adapters: dict[str, NamedAdapter] = {}
        self.active_adapter: str | None = None
        self.is_merged = False
        self._base_layers: dict[str, nn.Module] = {}
        self._base_extras: dict[str, mx.array] = {}
        self._first_head = copy.deepcopy(model.get("head"))
        self.add_adapter(name, config, model.get("head"))
        self.set_adapter(name)
        model.adapter = self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the model."""
        return self.model(*arguments, **options)

    @property
    def config(self) -> LoRAConfig:
        """Of the active adapter."""
        return self.active.config

    @property
    def active(self) -> NamedAdapter:
        """The active adapter, whose layers are in the model; `active_adapter` is its name."""
        assert self.active_adapter is not None
        return self.adapters[self.active_adapter]

    def add_adapter(self, name: str, config: LoRAConfig, head: nn.Module | None = None) -> None:
        """Make another adapter; the active one stays active.

        Args:
            name: new.
            config: may name other layers and ranks.
            head: of the adapter; None: like the first one's, as it was before training.

        Raises:
            ValueError: the name is taken, or the config does not fit the model.
        """
        if name in self.adapters:
            raise ValueError(
                f"there is an adapter {name!r} already (there are {', '.join(self.adapters)})"
            )
        self._refuse_merged("add an adapter")
        name_before = self.active_adapter
        self._deactivate()
        try:
            encoder, _, _ = find_encoder(self.model)
            if config.bits is not None and not _is_quantized_so(encoder, config):
                raise ValueError(
                    "the base is there once for all adapters and is not quantized; leave out bits here"
                )
            self.adapters[name] = self._make(config, head)
        finally:
            if name_before is not None:
                self._activate(name_before)

    def set_adapter(self, name: str) -> None:
        """Activate an adapter, with its head; its parameters, and only they, are trainable.

        Raises:
            ValueError: there is no such adapter, or the active one is merged.
        """
        look_up(self.adapters, name, "adapter")
        self._refuse_merged("change the adapter")
        self._deactivate()
        self._activate(name)

    def choose(self, config: LoRAConfig) -> list[Place]:
        """The parts of layers to adapt, with their ranks; a strategy of one's own replaces this, `wrap` or both."""
        modules = dict(self.model.named_modules())
        places = find_places(self.model, self.hub)
        saved = {name.rpartition(".")[0] for name in self._saved_modules(config)}
        places = [place for place in places if place.path not in saved]
        return choose_places(config, places, {p.path: modules[p.path] for p in places})

    def wrap(
        self, base: Linear | QuantizedLinear, places: Sequence[Place], config: LoRAConfig
    ) -> LoRALinear:
        """The adapted form of one layer, all of whose places are given."""
        kind = DoRALinear if config.use_dora else LoRALinear
        return kind.from_base(
            base,
            ranks=[place.rank for place in places],
            scales=[config.scale_of(place.rank, place.alpha) for place in places],
            parts=[place.part for place in places],
            num_parts=places[0].num_parts,
            dropout_rate=config.dropout,
            trained_bias={"none": "none", "lora_only": "parts", "all": "all"}[config.bias],
        )

    def merge(self, *, requantize: bool = False) -> nn.Module:
        """Add the active adapter to the weights beside it, deactivate it and unfreeze the model.

        Args:
            requantize: quantize the sums again where the base is quantized: small again, but the update is rounded.
        """
        self._refuse_merged("merge")
        adapter = self.active
        self._deactivate()
        fused = {path: layer.fuse(requantize=requantize) for path, layer in adapter.layers.items()}
        self._put_merged(fused, adapter.extras, adapter.head)
        return self.model

    def merge_adapters(
        self, weights: Mapping[str, float], *, head: str | None = None, requantize: bool = False
    ) -> nn.Module:
        """Add several adapters to the weights: W + sum of weight * (W with that adapter alone - W).

        Args:
            weights: name → weight, such as {"a": 0.7, "b": 0.3}.
            head: the adapter whose head is taken; None: the mean of their heads' parameters, with these weights.
            requantize: as in `merge`.

        Raises:
            ValueError: unknown adapters, or heads of different shapes that have no mean.
        """
        unknown = [
            name for name in (*weights, *([head] if head else [])) if name not in self.adapters
        ]
        if unknown or not weights:
            raise ValueError(
                f"no adapters {', '.join(map(repr, unknown)) or 'given'} (there are {', '.join(self.adapters)})"
            )
        self._refuse_merged("merge")
        chosen = {name: self.adapters[name] for name in weights}
        heads = {name: adapter.head for name, adapter in chosen.items()}
        new_head = self.adapters[head].head if head else mean_head(heads, weights)
        self._deactivate()
        paths = {path: layer.base for a in chosen.values() for path, layer in a.layers.items()}
        fused = {
            path: fuse_all(
                base,
                [(weights[n], a.layers[path]) for n, a in chosen.items() if path in a.layers],
                requantize=requantize,
            )
            for path, base in paths.items()
        }
        extras = dict(self._base_extras)
        for name, adapter in chosen.items():
            for key, value in adapter.extras.items():
                extras[key] = extras[key] + weights[name] * (value - self._base_extras[key])
        self._put_merged(fused, extras, new_head)
        return self.model

    def unmerge(self) -> None:
        """Undo `merge` or `merge_adapters` exactly; what was trained since on the merged weights is lost.

        Raises:
            ValueError: nothing is merged.
        """
        if not self.is_merged:
            raise ValueError("nothing is merged; merge() or merge_adapters() comes first")
        self.is_merged = False
        self._replace(self._base_layers)
        assert self.active_adapter is not None
        self._activate(self.active_adapter)

    def extras_of(self, name: str) -> dict[str, mx.array]:
        """The biases and modules that an adapter trains in full, by our names, as they are now."""
        adapter = self.adapters[name]
        if name != self.active_adapter or self.is_merged:
            return dict(adapter.extras)
        parameters = named_parameters(self.model)
        return {key: parameters[key] for key in adapter.extras}

    def base_extras(self) -> dict[str, mx.array]:
        """The same parameters as the base has them, for all adapters together."""
        return dict(self._base_extras)

    def _make(self, config: LoRAConfig, head: nn.Module | None) -> NamedAdapter:
        modules = dict(self.model.named_modules())
        places = self.choose(config)
        if not places:
            raise ValueError("target_modules and modules_to_save leave no layer to adapt")
        by_path: dict[str, list[Place]] = {}
        for place in places:
            by_path.setdefault(place.path, []).append(place)
        layers = {path: self.wrap(modules[path], own, config) for path, own in by_path.items()}
        if head is None:
            head = copy.deepcopy(self._first_head)
        parameters = named_parameters(self.model)
        names = self._saved_modules(config)
        if config.bias == "all":
            names += [
                parameter.ours
                for parameter in self.hub.values()
                if parameter.ours.endswith(".bias")
                and parameter.ours.rpartition(".")[0] not in layers
            ]
        extras = {name: parameters[name] for name in names}
        self._base_extras = extras | self._base_extras
        return NamedAdapter(config, places, layers, head, extras)

    def _saved_modules(self, config: LoRAConfig) -> list[str]:
        """Our encoder parameters that `modules_to_save` means; the head's parts are always trained and saved."""
        head = self.model.get("head")
        in_head = {"head", "score", "pooler"}
        if head is not None:
            in_head |= {name for name, _ in head.named_modules()}
        names = [
            name
            for name in config.modules_to_save
            if head is None or name.rpartition(".")[2] not in in_head
        ]
        found = find_modules(names, self.hub)
        quantized = quantized_layers(self.model)
        wrong = sorted({path for name in found if (path := name.rpartition(".")[0]) in quantized})
        if wrong:
            raise ValueError(
                f"quantized modules cannot be trained in full: {', '.join(wrong)}; leave them out of modules_to_save"
            )
        return found

    def _refuse_merged(self, deed: str) -> None:
        if self.is_merged:
            raise ValueError(f"the adapter is merged into the weights: unmerge() before you {deed}")

    def _deactivate(self) -> None:
        """Leave the base alone in the model, and stash what the active adapter trained beside its layers."""
        if self.active_adapter is None:
            return
        adapter = self.active
        adapter.extras = self.extras_of(self.active_adapter)
        self._replace({path: layer.base for path, layer in adapter.layers.items()})
        self.model.update(tree_unflatten([(n, self._base_extras[n]) for n in adapter.extras]))

    def _activate(self, name: str) -> None:
        adapter = self.adapters[name]
        self.active_adapter = name
        self._replace({**adapter.layers, **({"head": adapter.head} if adapter.head else {})})
        self.model.update(tree_unflatten(list(adapter.extras.items())))
        self.model.freeze()
        for layer in adapter.layers.values():
            layer.unfreeze(recurse=False)
        if adapter.head is not None:
            adapter.head.unfreeze()
        modules = dict(self.model.named_modules())
        for key in adapter.extras:
            path, _, leaf = key.rpartition(".")
            modules[path].unfreeze(recurse=False, keys=[leaf])

    def _put_merged(
        self, fused: Mapping[str, nn.Module], extras: Mapping[str, mx.array], head: nn.Module | None
    ) -> None:
        modules = dict(self.model.named_modules())
        self._base_layers = {path: modules[path] for path in fused}
        self._replace({**fused, **({"head": head} if head else {})})
        self.model.update(tree_unflatten(list(extras.items())))
        self.model.unfreeze()
        self.is_merged = True

    def _replace(self, modules: Mapping[str, nn.Module]) -> None:
        """Put modules into the model, in its mode: while they were out of it they were told of no change."""
        for module in modules.values():
            module.train(self.model.training)
        self.model.update_modules(tree_unflatten(list(modules.items())))


def _is_quantized_so(encoder: nn.Module, config: LoRAConfig) -> bool:
    """Whether the encoder is quantized as a config asks; another quantization is an error."""
    layers = quantized_layers(encoder)
    there = {(layer.bits, layer.group_size) for layer in layers.values()}
    if there and (config.bits, config.group_size) not in there:
        listed = ", ".join(f"{bits} bits in groups of {size}" for bits, size in sorted(there))
        raise ValueError(
            f"the model is quantized already, to {listed}, and the adapter asks for {config.bits} bits in groups of "
            f"{config.group_size}; leave out bits"
        )
    return bool(there)
