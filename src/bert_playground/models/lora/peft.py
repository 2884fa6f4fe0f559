"""PEFT's format: an adapter's tensors and settings under Hugging Face's names, and back into a model."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_unflatten

from bert_playground.lookup import shorten
from bert_playground.models.bert.names import Weights
from bert_playground.models.lora.adapter import LoRAAdapter, NamedAdapter
from bert_playground.models.lora.config import LoRAConfig
from bert_playground.models.lora.layers import DoRALinear, LoRALinear
from bert_playground.models.lora.targets import Place, ends_with, find_encoder
from bert_playground.models.tokenwise import named_parameters

Array = np.ndarray[Any, Any]
PREFIX = "base_model.model."
# Keys of adapter_config.json: what we do as PEFT does, what concerns other things, and defaults of what we do not do.
SUPPORTED = {
    "r": "r",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "target_modules",
    "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
    "layers_to_transform": "layers_to_transform",
    "bias": "bias",
    "modules_to_save": "modules_to_save",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}
IGNORED = {
    "peft_type",
    "task_type",
    "base_model_name_or_path",
    "auto_mapping",
    "revision",
    "peft_version",
    "inference_mode",
    "fan_in_fan_out",  # of layers that store transposed weights; ours do not
    "layers_pattern",
    "ensure_weight_tying",
    "loftq_config",
}
INACTIVE = {"megatron_core": "megatron.core", "qalora_group_size": 16}
# Ways to start that leave the base as it is; others (pissa, olora, corda, loftq) change it.
PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")


def to_peft(adapter: LoRAAdapter, name: str) -> tuple[dict[str, Any], Weights]:
    """Settings and tensors of an adapter without its head, as PEFT names them.

    Adapters of parts of a layer that Hugging Face has in one piece (Wqkv) become one of their joint rank, with zeros
    where a part does not read: the same product to the number.
    """
    record = adapter.adapters[name]
    config, tensors = record.config, Weights()
    ranks: dict[str, tuple[int, float]] = {}
    for module, group in groupby(_by_module(record.places), key=lambda place: place.hub_module):
        places = list(group)
        layer = record.layers[places[0].path]
        rows = _joint(adapter, places, layer)
        ranks[module] = (rows["lora_A.weight"].shape[0], _joint_alpha(config, places))
        tensors |= {f"{PREFIX}{module}.{leaf}": array for leaf, array in rows.items()}
    tensors |= _plain_tensors(adapter, name, set(ranks))
    (rank, alpha), _ = Counter(ranks.values()).most_common(1)[0]
    values = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": _whole(alpha),
        "lora_dropout": config.dropout,
        "target_modules": _targets(adapter, set(ranks)),
        "rank_pattern": {module: r for module, (r, _) in ranks.items() if r != rank},
        "alpha_pattern": {module: _whole(a) for module, (_, a) in ranks.items() if a != alpha},
        "layers_to_transform": None,
        "bias": config.bias,
        "modules_to_save": _saved_modules(adapter, name),
        "use_rslora": config.use_rslora,
        "use_dora": config.use_dora,
        "init_lora_weights": True,
        "fan_in_fan_out": False,
    }
    return values, tensors


def read_peft_config(values: Mapping[str, Any]) -> LoRAConfig:
    """The LoRAConfig that an adapter_config.json of PEFT means.

    Raises:
        ValueError: another kind of adapter, or features that are on and that we do not have; all are listed.
    """
    kind = values.get("peft_type")
    if kind != "LORA":
        raise ValueError(f"peft_type is {kind!r}, expected 'LORA': no other kind is read")
    active = []
    for key, value in values.items():
        is_off = value in (None, False) or value in ({}, [], "") or INACTIVE.get(key) == value
        if key == "init_lora_weights":
            is_off = value in PLAIN_STARTS
        if key not in SUPPORTED and key not in IGNORED and not is_off and key != "exclude_modules":
            active.append(f"{key} = {value!r}")
    if values.get("exclude_modules"):
        active.append(f"exclude_modules = {values['exclude_modules']!r}")
    if active:
        raise ValueError(
            f"the adapter uses what is not implemented here: {'; '.join(active)}; merge it with PEFT and load the "
            "merged model"
        )
    options = {ours: values[key] for key, ours in SUPPORTED.items() if values.get(key) is not None}
    options.setdefault("alpha", 8)  # PEFT's own default
    options.setdefault("dropout", 0.0)
    return LoRAConfig(**options)


def normalise(adapter: LoRAAdapter, tensors: Mapping[str, mx.array]) -> Weights:
    """Tensors of a PEFT file under Hugging Face's names as this model has them: with its prefix or without."""
    _, _, prefix = find_encoder(adapter.model)
    modules = {parent for hub_name in adapter.hub for parent in _parents(hub_name)}
    found = Weights()
    for full, tensor in tensors.items():
        if ".original_module." in full:  # what PEFT keeps beside a module that it trained
            continue
        name = full.removeprefix(PREFIX).replace(".modules_to_save.", ".")
        name = name.replace(".base_layer.", ".")
        name = name.replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector")
        for candidate in (name, prefix + name):
            if any(parent in modules for parent in _parents(candidate)[-2:]):
                name = candidate
        found[name] = tensor.astype(mx.float32)
    return found


def fill(adapter: LoRAAdapter, name: str, tensors: Weights) -> Weights:
    """Give an adapter its numbers.

    Args:
        adapter: has the adapter `name`, made by the file's config.
        name: of the adapter.
        tensors: from `normalise`.

    Returns:
        What belongs to no part of the encoder: the head's.

    Raises:
        ValueError: tensors are missing, of another shape, or belong to layers that the config does not adapt; all are
            listed.
    """
    record = adapter.adapters[name]
    left, wrong = dict(tensors), []
    for module, group in groupby(_by_module(record.places), key=lambda place: place.hub_module):
        wrong += _fill_layer(record, list(group), adapter.hub[f"{module}.weight"].rows.size, left)
    wrong += _fill_plain(adapter, record, left)
    strange = [key for key in left if f"{key.partition('.lora_')[0]}.weight" in adapter.hub]
    wrong += [f"{key} belongs to a layer that the config does not adapt" for key in strange]
    if wrong:
        raise ValueError(f"the adapter's tensors do not fit: {shorten(wrong, 8)}")
    if name == adapter.active_adapter:
        adapter.model.update(tree_unflatten(list(record.extras.items())))
    return left


def _by_module(places: Iterable[Place]) -> list[Place]:
    return sorted(places, key=lambda place: (place.path, place.hub_module, place.part))


def _joint_alpha(config: LoRAConfig, places: list[Place]) -> float:
    scale = config.scale_of(places[0].rank, places[0].alpha)
    return config.alpha_of(sum(place.rank for place in places), scale)


def _columns(layer: LoRALinear, place: Place) -> slice:
    """Where in lora_a's rows and lora_b's columns a part has its own."""
    index = layer.parts.index(place.part)
    start = sum(layer.ranks[:index])
    return slice(start, start + layer.ranks[index])


def _joint(adapter: LoRAAdapter, places: list[Place], layer: LoRALinear) -> Weights:
    """A, B and magnitude of one of Hugging Face's modules, out of all places in it."""
    lora_a, lora_b = np.array(layer.lora_a), np.array(layer.lora_b)
    scales = {place.part: layer.scales[layer.parts.index(place.part)] for place in places}
    module = places[0].hub_module
    ours = adapter.hub[f"{module}.weight"]
    joint_a = np.concatenate([lora_a[_columns(layer, place)] for place in places])
    joint_b = np.zeros((ours.rows.size, joint_a.shape[0]), dtype=np.float32)
    start = 0
    for place in places:
        ratio = scales[place.part] / scales[places[0].part]
        columns = lora_b[:, _columns(layer, place)]
        joint_b[place.hub_rows, start : start + place.rank] = columns * np.float32(ratio)
        start += place.rank
    tensors = {"lora_A.weight": mx.array(joint_a), "lora_B.weight": mx.array(joint_b)}
    if isinstance(layer, DoRALinear):
        tensors["lora_magnitude_vector"] = layer.full_magnitude()[mx.array(ours.rows)]
    return tensors


def _fill_layer(
    record: NamedAdapter, places: list[Place], num_rows: int, tensors: Weights
) -> list[str]:
    """Read A, B and magnitude of one of Hugging Face's modules out of `tensors`; returns what is wrong."""
    module, layer = places[0].hub_module, record.layers[places[0].path]
    rank = sum(place.rank for place in places)
    expected = {
        "lora_A.weight": (rank, layer.base.num_inputs),
        "lora_B.weight": (num_rows, rank),
        **({"lora_magnitude_vector": (num_rows,)} if isinstance(layer, DoRALinear) else {}),
    }
    arrays, wrong = {}, []
    for leaf, shape in expected.items():
        tensor = tensors.pop(f"{module}.{leaf}", None)
        if tensor is None:
            wrong.append(f"{module}.{leaf} is missing")
        elif tensor.shape != shape:
            wrong.append(f"{module}.{leaf} has shape {list(tensor.shape)}, expected {list(shape)}")
        else:
            arrays[leaf] = np.array(tensor)
    if not wrong:
        _take_parts(layer, places, arrays)
    return wrong


def _take_parts(layer: LoRALinear, places: list[Place], arrays: dict[str, Array]) -> None:
    lora_a, lora_b = np.array(layer.lora_a), np.array(layer.lora_b)
    joint_scale = layer.scales[layer.parts.index(places[0].part)]
    start = 0
    for place in places:
        own, stop = _columns(layer, place), start + place.rank
        ratio = joint_scale / layer.scales[layer.parts.index(place.part)]
        lora_a[own] = arrays["lora_A.weight"][start:stop]
        lora_b[:, own] = arrays["lora_B.weight"][place.hub_rows, start:stop] * np.float32(ratio)
        start = stop
        if isinstance(layer, DoRALinear):
            layer.set_magnitude(place.part, arrays["lora_magnitude_vector"][place.hub_rows])
    layer.lora_a, layer.lora_b = mx.array(lora_a), mx.array(lora_b)


def _plain_tensors(adapter: LoRAAdapter, name: str, modules: set[str]) -> Weights:
    """Biases and modules that the adapter trains in full, as Hugging Face names and splits them."""
    record = adapter.adapters[name]
    ours = adapter.extras_of(name)
    trained: dict[str, Array] = {}
    for path, layer in record.layers.items():
        bias = layer.merged_bias()
        if "bias_update" in layer and bias is not None:
            ours[f"{path}.bias"] = bias
            trained[f"{path}.bias"] = np.array(layer.trained_bias)
    tensors = Weights()
    for hub_name, (own, rows) in adapter.hub.items():
        if own not in ours or (own in trained and not trained[own][rows].any()):
            continue
        module, _, leaf = hub_name.rpartition(".")
        middle = ".base_layer." if module in modules else "."
        tensors[f"{PREFIX}{module}{middle}{leaf}"] = ours[own][mx.array(rows)]
    return tensors


def _fill_plain(adapter: LoRAAdapter, record: NamedAdapter, tensors: Weights) -> list[str]:
    """Read biases and modules trained in full out of `tensors`; returns what is wrong."""
    base = named_parameters(adapter.model) | adapter.base_extras()
    biases = {
        f"{path}.bias": layer for path, layer in record.layers.items() if "bias_update" in layer
    }
    values: dict[str, Array] = {}
    wrong, wanted = [], {*record.extras, *biases}
    for hub_name, (own, rows) in adapter.hub.items():
        is_trained = own in wanted and (
            own not in biases or np.array(biases[own].trained_bias)[rows].any()
        )
        tensor = tensors.pop(hub_name, None)
        if tensor is None:
            wrong += [f"{hub_name} is missing"] if is_trained else []
        elif not is_trained:
            wrong.append(f"{hub_name} is not among bias and modules_to_save of the config")
        else:
            start = biases[own].base.bias if own in biases else base[own]
            values.setdefault(own, np.array(start))
            if tensor.shape != values[own][rows].shape:
                shape = list(values[own][rows].shape)
                wrong.append(f"{hub_name} has shape {list(tensor.shape)}, expected {shape}")
            else:
                values[own][rows] = np.array(tensor)
    for own, value in values.items():
        if own in biases:
            biases[own].bias_update = mx.array(value) - biases[own].base.bias
        else:
            record.extras[own] = mx.array(value)
    return wrong


def _saved_modules(adapter: LoRAAdapter, name: str) -> list[str] | None:
    """Hugging Face's modules that the adapter trains in full; biases have a key of their own."""
    record = adapter.adapters[name]
    saved = {
        hub_name.rpartition(".")[0]
        for hub_name, (own, _) in adapter.hub.items()
        if own in record.extras and own.endswith(".weight")
    }
    return sorted(saved) or None


def _targets(adapter: LoRAAdapter, chosen: set[str]) -> list[str]:
    """The shortest ends of names that mean the chosen modules and no others."""
    others = {parent for hub_name in adapter.hub for parent in _parents(hub_name)} - chosen
    head = adapter.model.get("head")
    found: set[str] = set()
    for module in sorted(chosen):
        words = module.split(".")
        ends = [".".join(words[-count:]) for count in range(1, len(words) + 1)]
        taken = [] if head is None else ["dense"]  # a head's own layer, which PEFT would adapt too
        found.add(
            next(end for end in ends if not ends_with(others, end) and end not in taken)
            if not ends_with(others, module)
            else module
        )
    return sorted(found)


def _parents(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


def _whole(number: float) -> float | int:
    return int(number) if number == int(number) else number
