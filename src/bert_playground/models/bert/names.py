"""rename, restore: weight names of a checkpoint to ours and back."""

import re
from collections.abc import Mapping

import mlx.core as mx

Weights = dict[str, mx.array]


def rename(weights: Mapping[str, mx.array], names: Mapping[str, str]) -> Weights:
    """Rename the modules of `weights`.

    Args:
        weights: by full name, such as "encoder.layer.3.output.dense.bias".
        names: module by module, from its name to its new one, with # for a layer's number:
            {"encoder.layer.#.output.dense": "layers.#.feed_forward.down"}. Others keep their name.
    """
    return {_renamed(name, names): weight for name, weight in weights.items()}


def restore(weights: Mapping[str, mx.array], names: Mapping[str, str]) -> Weights:
    """Undo `rename`."""
    return rename(weights, {new: old for old, new in names.items()})


def _renamed(name: str, names: Mapping[str, str]) -> str:
    module, _, leaf = name.rpartition(".")
    numbers = re.findall(r"\.(\d+)\.", f".{module}.")
    pattern = re.sub(r"\.\d+(?=\.)", ".#", f"{module}.")[:-1]
    new = names.get(pattern)
    if new is None:
        return name
    for number in numbers:
        new = new.replace("#", number, 1)
    return f"{new}.{leaf}"
