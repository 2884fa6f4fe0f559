"""Targets: which parts of which layers a LoRAConfig means, by our names and by Hugging Face's."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bert_playground.lookup import nearest, shorten
from bert_playground.models.bert import Encoder
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.lora.config import ALL_LINEAR, TARGETS, LoRAConfig
from bert_playground.models.lora.patterns import match_whole
from bert_playground.models.quantized_layers import QuantizedLinear
from bert_playground.models.tokenwise import Linear, named_parameters

Rows = np.ndarray[Any, np.dtype[np.int64]]


class HubParameter(NamedTuple):
    """A parameter as Hugging Face stores it: which rows of which of ours."""

    ours: str
    rows: Rows


@dataclass(frozen=True, eq=False)
class Place:
    """A part of a layer that can have an adapter of its own.

    Attributes:
        path: our layer, such as "encoder.layers.0.attention.qkv".
        part: which part of its output; 0 where it is taken whole.
        num_parts: of the output.
        names: what a target may call it, each in full.
        hub_module: Hugging Face's layer, such as "bert.encoder.layer.0.attention.self.query".
        hub_rows: the place's rows in Hugging Face's layer.
        rank: of its adapter.
        alpha: of its adapter.
    """

    path: str
    part: int
    num_parts: int
    names: tuple[str, ...]
    hub_module: str
    hub_rows: Rows
    rank: int = 0
    alpha: float = 0.0


def find_encoder(model: nn.Module) -> tuple[Encoder, str, str]:
    """The encoder in a model, what our names of its parts start with, and what Hugging Face's do.

    Raises:
        ValueError: there is none.
    """
    if isinstance(model, Encoder):
        return model, "", ""
    encoder = model.get("encoder")
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f"adapters need an encoder or a model with one, got {type(model).__name__}"
        )
    return encoder, "encoder.", ENCODERS[encoder.config.model_type].prefix


def hub_parameters(model: nn.Module) -> dict[str, HubParameter]:
    """Each parameter of the encoder by Hugging Face's name, prefix included; without adapters in the model."""
    encoder, ours_prefix, hub_prefix = find_encoder(model)
    family = ENCODERS[encoder.config.model_type]
    numbered = {
        name: _row_numbers(parameter)
        for name, parameter in named_parameters(encoder).items()
        if not name.endswith((".scales", ".biases"))
    }
    # Rows that carry their own numbers come back where Hugging Face has them, and say under which name.
    owners = {name: number for number, name in enumerate(numbered)}
    marked = {name: rows + (owners[name] << 32) for name, rows in numbered.items()}
    found = {}
    for hub_name, marks in family.core.unsanitize(marked, encoder.config).items():
        flat = np.array(marks).reshape(-1)
        owner = list(numbered)[int(flat[0]) >> 32]
        found[hub_prefix + hub_name] = HubParameter(ours_prefix + owner, flat & 0xFFFFFFFF)
    return found


def _row_numbers(parameter: mx.array) -> mx.array:
    rows = mx.arange(parameter.shape[0], dtype=mx.int64)
    return rows[:, None] if parameter.ndim > 1 else rows


def find_places(model: nn.Module, hub: Mapping[str, HubParameter]) -> list[Place]:
    """All that could have an adapter, in the model's order: layers as Hugging Face has them, and our short names."""
    modules = dict(model.named_modules())
    modules_of: dict[str, list[tuple[str, Rows]]] = {}
    for hub_name, (ours, rows) in hub.items():
        path, _, leaf = ours.rpartition(".")
        if leaf == "weight" and isinstance(modules.get(path), Linear | QuantizedLinear):
            modules_of.setdefault(path, []).append((hub_name.removesuffix(".weight"), rows))
    return [
        place
        for path in sorted(modules_of, key=layer_number)
        for place in _places_of(path, modules[path].num_outputs, modules_of[path])
    ]


def _places_of(path: str, num_outputs: int, hub_modules: list[tuple[str, Rows]]) -> Iterator[Place]:
    layer = re.sub(r"^(encoder\.)?(layers\.\d+)\..*$", r"\2", path)
    short = {
        part: (name, num_parts)
        for name, (suffix, part, num_parts) in TARGETS.items()
        if path.endswith(f".{suffix}")
    }
    num_parts = next((count for _, count in short.values()), 1)
    if len(hub_modules) == 1:
        hub_module, rows = hub_modules[0]
        own = [f"{layer}.{name}" for name, count in short.values() if count == 1]
        yield Place(path, 0, 1, (hub_module, path, *own), hub_module, np.argsort(rows))
    if num_parts == 1:
        return
    width = num_outputs // num_parts
    for part, (name, _) in sorted(short.items()):
        ours = np.arange(part * width, (part + 1) * width)
        for hub_module, rows in hub_modules:
            if np.isin(ours, rows).all():
                hub_rows = np.argsort(rows)[np.searchsorted(np.sort(rows), ours)]
                shared = (hub_module, path) if len(hub_modules) > 1 else ()
                names = (f"{layer}.{name}", *shared)
                yield Place(path, part, num_parts, names, hub_module, hub_rows)


def choose_places(
    config: LoRAConfig, places: list[Place], paths: Mapping[str, Linear | QuantizedLinear]
) -> list[Place]:
    """The places that a config means, with their ranks.

    Args:
        config: what was asked.
        places: all there are.
        paths: our layers by name, for their sizes.

    Raises:
        ValueError: a name, layer number or pattern that fits nothing, with what exists; a rank larger than its layer;
            a layer that is asked for whole and in part.
    """
    chosen = _match_targets(config, places)
    chosen = _match_layers(config, chosen)
    chosen = _give_ranks(config, chosen)
    most = {
        place: min(layer.num_inputs, layer.num_outputs // place.num_parts)
        for place in chosen
        for layer in [paths[place.path]]
    }
    wrong = [
        f"{place.names[0]} has rank {place.rank}, at most {largest} is possible"
        for place, largest in most.items()
        if place.rank > largest
    ]
    if wrong:
        raise ValueError(f"ranks are larger than their layers: {shorten(wrong, 6)}; lower r")
    return chosen


def _match_targets(config: LoRAConfig, places: list[Place]) -> list[Place]:
    targets = config.target_modules
    if isinstance(targets, str) and targets != ALL_LINEAR and re.fullmatch(r"[\w.]+", targets):
        targets = (targets,)
    unknown: list[str] = []
    if isinstance(targets, str):
        found = _match_one(targets, places)
        unknown = [] if found else [targets]
    else:
        found = []
        for target in targets:
            new = [place for place in places if ends_with(place.names, target)]
            found += [place for place in new if place not in found]
            unknown += [] if new else [target]
    if unknown:
        known = known_targets(places)
        listed = ", ".join(f"{name!r}{nearest(name, known)}" for name in unknown)
        raise ValueError(
            f"target_modules fit no layer: {listed} (there are {', '.join(known)}, or '{ALL_LINEAR}')"
        )
    twice = {p.path for p in found if p.num_parts == 1} & {p.path for p in found if p.num_parts > 1}
    if twice:
        raise ValueError(
            f"target_modules name layers both whole and in part: {shorten(sorted(twice), 4)}; choose one"
        )
    return sorted(found, key=lambda place: (layer_number(place.path), place.part))


def _match_one(target: str, places: list[Place]) -> list[Place]:
    """Places by "all-linear" or by a regular expression: Hugging Face's layers first, then our names."""
    in_hub = [place for place in places if place.hub_module in place.names]
    if target == ALL_LINEAR:
        return in_hub
    fits = _fitting(target, places, "target_modules")
    by_hub = [place for place in in_hub if place.hub_module in fits]
    return by_hub or [place for place in places if not fits.isdisjoint(place.names)]


def _match_layers(config: LoRAConfig, places: list[Place]) -> list[Place]:
    if config.layers_to_transform is None:
        return places
    there = sorted({layer_number(place.path)[0] for place in places})
    absent = [number for number in config.layers_to_transform if number not in there]
    if absent:
        raise ValueError(
            f"layers_to_transform has {', '.join(map(str, absent))}, the model has layers "
            f"{there[0]} to {there[-1]}"
        )
    return [p for p in places if layer_number(p.path)[0] in config.layers_to_transform]


def _give_ranks(config: LoRAConfig, places: list[Place]) -> list[Place]:
    ranks, alphas = (
        {key: _fitting(rf"(.*\.)?({key})", places, where) for key in patterns}
        for where, patterns in (
            ("rank_pattern", config.rank_pattern),
            ("alpha_pattern", config.alpha_pattern),
        )
    )
    used: set[str] = set()

    def first(patterns: Mapping[str, set[str]], place: Place) -> str | None:
        names = (*place.names, place.hub_module)
        fitting = [key for key, fits in patterns.items() if not fits.isdisjoint(names)]
        used.update(fitting[:1])
        return fitting[0] if fitting else None

    given = []
    for place in places:
        rank_key, alpha_key = first(ranks, place), first(alphas, place)
        rank = config.r if rank_key is None else config.rank_pattern[rank_key]
        alpha = config.alpha if alpha_key is None else config.alpha_pattern[alpha_key]
        given.append(replace(place, rank=int(rank), alpha=float(alpha)))
    idle = sorted({*ranks, *alphas} - used)
    if idle:
        raise ValueError(
            f"rank_pattern or alpha_pattern fit no adapted layer: {', '.join(map(repr, idle))} "
            f"(adapted are {', '.join(known_targets(places))})"
        )
    return given


def find_modules(names: Iterable[str], hub: Mapping[str, HubParameter]) -> list[str]:
    """Our parameters of the encoder's modules that these names mean, ours or Hugging Face's.

    Raises:
        ValueError: names that fit nothing, or only a part of one of our parameters.
    """
    found: dict[str, int] = {}
    unknown = []
    for name in names:
        hits = [
            (parameter.ours, parameter.rows.size)
            for hub_name, parameter in hub.items()
            if ends_with([*_parents(hub_name), *_parents(parameter.ours)], name)
        ]
        unknown += [] if hits else [name]
        for ours, count in hits:
            found[ours] = found.get(ours, 0) + count
    if unknown:
        known = sorted({_without_number(parent) for parent in map(_parent, hub)})
        listed = ", ".join(f"{name!r}{nearest(name, known)}" for name in unknown)
        raise ValueError(
            f"modules_to_save fit no module: {listed} (there are {shorten(known, 20)})"
        )
    whole: dict[str, int] = {}
    for ours, rows in hub.values():
        whole[ours] = whole.get(ours, 0) + rows.size
    partial = sorted(name for name, count in found.items() if count < whole[name])
    if partial:
        raise ValueError(
            f"modules_to_save name only a part of {shorten(partial, 4)}; name query, key and value together"
        )
    return list(found)


def known_targets(places: list[Place]) -> list[str]:
    """What target_modules may name in this model, without the layers' numbers."""
    short = {name: None for name in TARGETS if any(ends_with(p.names, name) for p in places)}
    hub = {_without_number(place.hub_module): None for place in places}
    return list(short | hub)


def ends_with(names: Iterable[str], target: str) -> bool:
    """Whether one of the names is the target or ends with it after a dot."""
    return any(name == target or name.endswith(f".{target}") for name in names)


def layer_number(path: str) -> tuple[int, str]:
    """A key to sort by; -1 for what is in no layer."""
    match = re.search(r"(?:^|\.)layers\.(\d+)\.", path)
    return (int(match[1]) if match else -1, path)


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _parents(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


def _without_number(name: str) -> str:
    return re.sub(r"^.*\.\d+\.", "", name)


def _fitting(pattern: str, places: Iterable[Place], where: str) -> set[str]:
    """The names of places that a pattern fits."""
    names = list({name: None for place in places for name in (*place.names, place.hub_module)})
    fits = match_whole(pattern, names, where)
    return {name for name, is_fitting in zip(names, fits, strict=True) if is_fitting}
