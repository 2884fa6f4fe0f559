"""Merging: the weights that a model would have without its adapters, of one or of several."""

import copy
from collections.abc import Mapping, Sequence

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from bert_playground.models.lora.layers import LoRALinear, full_weight, plain_layer
from bert_playground.models.quantized_layers import QuantizedLinear
from bert_playground.models.tokenwise import Linear, named_parameters


def merged_parameters(model: nn.Module) -> dict[str, mx.array]:
    """All parameters by name as they would be after `merge`; the model itself stays as it is."""
    parameters = named_parameters(model)
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            for leaf in [key for key in parameters if key.startswith(f"{name}.")]:
                del parameters[leaf]
            parameters[f"{name}.weight"] = module.merged_weight()
            bias = module.merged_bias()
            if bias is not None:
                parameters[f"{name}.bias"] = bias
    return parameters


def fuse_all(
    base: Linear | QuantizedLinear,
    weighted: Sequence[tuple[float, LoRALinear]],
    *,
    requantize: bool,
) -> Linear | QuantizedLinear:
    """A plain layer with the weight W + sum of factor * (W with that adapter alone - W), and its bias likewise."""
    weight = start = full_weight(base)
    bias: mx.array | None = base.get("bias")
    for factor, layer in weighted:
        weight = weight + factor * (layer.merged_weight() - start)
        if bias is not None and (update := layer.bias_change()) is not None:
            bias = bias + factor * update
    return plain_layer(base, weight, bias, requantize=requantize)


def mean_head(
    all_heads: Mapping[str, nn.Module | None], weights: Mapping[str, float]
) -> nn.Module | None:
    """A head whose parameters are the weighted mean of those of several heads; None where there are none.

    Raises:
        ValueError: their parameters have different shapes, or the weights sum to nothing.
    """
    heads = {name: head for name, head in all_heads.items() if head is not None}
    if not heads:
        return None
    shapes = {
        name: {key: value.shape for key, value in named_parameters(head).items()}
        for name, head in heads.items()
    }
    total = sum(weights.values())
    first = next(iter(heads))
    different = [name for name in heads if shapes[name] != shapes[first]]
    if different or total <= 0:
        reason = f"weights sum to {total:g}" if not different else "their parameters differ"
        raise ValueError(
            f"the heads of {', '.join(heads)} have no mean ({reason}); choose one: head={first!r}"
        )
    head = copy.deepcopy(heads[first])
    parameters = {name: named_parameters(module) for name, module in heads.items()}
    mean = {
        key: sum((weights[name] / total) * own[key] for name, own in parameters.items())
        for key in shapes[first]
    }
    head.update(tree_unflatten(list(mean.items())))
    return head
