"""quantize_model: weights in 4 or 8 bits; choose_bits: which layers want 8; dequantize_model."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from bert_playground.logger import logger
from bert_playground.lookup import nearest
from bert_playground.models.bert.names import Weights
from bert_playground.models.quantized_layers import (
    GROUP_SIZES,
    QuantizedEmbedding,
    QuantizedLinear,
    check_quantization,
)
from bert_playground.models.tokenwise import Embedding, Linear, named_parameters

LOW, HIGH = 4, 8  # what choose_bits chooses from
WORDS = "embeddings.words"  # the one large table of an encoder
HEAD_DENSE = "head.dense"
Model = TypeVar("Model", bound=nn.Module)
Layer = Linear | Embedding


@dataclass(frozen=True)
class LayerChoice:
    """What `choose_bits` measured of a layer, and what it chose.

    Attributes:
        name: of the layer in the model.
        num_weights: how many values it has.
        loss_increase: the loss with only this layer in 4 bits, less the loss of the model as it came.
        bits: 4 or 8.
    """

    name: str
    num_weights: int
    loss_increase: float
    bits: int


def quantize_model(
    model: Model,
    bits: int = 4,
    group_size: int = 64,
    quantize_embeddings: bool = False,
    *,
    quantize_head: bool = False,
    layer_bits: Mapping[str, int] | None = None,
) -> Model:
    """Replace the encoder's linear layers by quantized ones, in place, and log the memory before and after.

    The new weights are frozen: to train further, add LoRA adapters, or `dequantize_model` first. Live adapters stay,
    and stay trainable; what they stand on is quantized. A model that is quantized already is quantized anew.

    Args:
        model: an encoder, with or without head.
        bits: 4 or 8.
        group_size: 32, 64 or 128 neighbouring weights share a scale and an offset.
        quantize_embeddings: the table of words too.
        quantize_head: the dense layer of the head too, if it has one; the classifier stays as it is.
        layer_bits: other bits for single layers, by name.

    Returns:
        The same model.

    Raises:
        ValueError: bits or group size that MLX does not have or a layer's width does not allow, or an unknown layer
            name.

    Reference: affine quantization by groups as in mx.quantize; Dettmers and Zettlemoyer 2023, arXiv 2212.09720.
    """
    before = parameter_bytes(model)
    if quantized_layers(model):
        logger.warning("the model is quantized already; what the first rounding took stays lost")
        dequantize_model(model)
    layers = find_layers(
        model, quantize_embeddings=quantize_embeddings, quantize_head=quantize_head
    )
    unknown = [
        f"{name!r}{nearest(name, layers)}" for name in layer_bits or {} if name not in layers
    ]
    if unknown:
        raise ValueError(f"layer_bits names no layer to quantize: {', '.join(unknown)}")
    _check(layers, group_size, {bits, *(layer_bits or {}).values()})
    for name, layer in layers.items():
        # One at a time, so that no more than one layer is there twice.
        chosen = (layer_bits or {}).get(name, bits)
        replace_modules(model, {name: _quantized(layer, group_size, chosen)})
    after = parameter_bytes(model)
    logger.info(
        f"quantized {len(layers)} layers to {_spelled(layers, bits, layer_bits)} bits in groups of {group_size}: "
        f"{before / 2**20:.1f} MiB of parameters became {after / 2**20:.1f} MiB"
    )
    return model


def dequantize_model(model: Model) -> Model:
    """Replace quantized layers by full ones with the weights that they stand for, in place and trainable."""
    layers = quantized_layers(model)
    for name, layer in layers.items():
        replace_modules(model, {name: layer.to_full()})
    return model


def choose_bits(
    model: nn.Module,
    measure: Callable[[Any], float],
    *,
    mean_bits: float = 5.0,
    group_size: int = 64,
    quantize_embeddings: bool = False,
) -> list[LayerChoice]:
    """Choose for each layer 4 or 8 bits by what 4 bits of it alone do to the loss.

    Starting from 4 bits everywhere, the layers that lose most per weight get 8 for as long as the mean allows. A layer
    whose loss does not grow stays at 4. `measure` runs once per layer and once before.

    Args:
        model: not quantized; it comes back as it was.
        measure: gives the loss of a model on validation rows; lower is better.
        mean_bits: the mean over all weights that may be spent, from 4 to 8.
        group_size: as in `quantize_model`.
        quantize_embeddings: as in `quantize_model`.

    Returns:
        One choice per layer, by name; `quantize_model` takes them as
        `layer_bits={choice.name: choice.bits for choice in choices}`.

    Raises:
        ValueError: see `quantize_model`; or a mean out of range, or a model that is quantized already.

    Reference: sensitivity measured one layer at a time as in Dong et al. 2019, arXiv 1905.03696, by loss itself in
        place of the Hessian.
    """
    if not LOW <= mean_bits <= HIGH:
        raise ValueError(f"mean_bits is {mean_bits}, expected {LOW} to {HIGH}")
    if quantized_layers(model):
        raise ValueError("the model is quantized already; dequantize_model(model) undoes it")
    layers = find_layers(model, quantize_embeddings=quantize_embeddings)
    _check(layers, group_size, {LOW})
    before = measure(model)
    increases = {
        name: _measure_with(model, name, layer, group_size, measure) - before
        for name, layer in layers.items()
    }
    sizes = {name: layer.weight.size for name, layer in layers.items()}
    promoted = _spend(increases, sizes, mean_bits)
    return [
        LayerChoice(name, sizes[name], increases[name], HIGH if name in promoted else LOW)
        for name in layers
    ]


def find_layers(
    model: nn.Module, *, quantize_embeddings: bool = False, quantize_head: bool = False
) -> dict[str, Layer]:
    """The layers that `quantize_model` replaces, sorted by name."""
    found: dict[str, Layer] = {}
    for name, module in model.named_modules():
        is_head = name.startswith("head.")
        if isinstance(module, Embedding):
            is_wanted = quantize_embeddings and name.endswith(WORDS)
        else:
            is_wanted = not is_head or (quantize_head and name == HEAD_DENSE)
        if is_wanted and isinstance(module, Linear | Embedding):
            found[name] = module
    return dict(sorted(found.items(), key=lambda item: _in_order(item[0])))


def quantized_layers(model: nn.Module) -> dict[str, QuantizedLinear | QuantizedEmbedding]:
    """The quantized layers of a model, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, QuantizedLinear | QuantizedEmbedding)
    }


def parameter_bytes(model: nn.Module) -> int:
    """How much memory the parameters take."""
    return sum(array.nbytes for array in named_parameters(model).values())


def prepare_for(module: nn.Module, weights: Mapping[str, mx.array]) -> None:
    """Make those layers quantized for which `weights` has quantized ones, so that they can be loaded.

    Bits and group size follow from the shapes.

    Raises:
        ValueError: shapes that no quantization of the layer has.
    """
    fresh: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        if f"{name}.scales" in weights and isinstance(layer, Linear | Embedding):
            packed, scales = weights[f"{name}.weight"], weights[f"{name}.scales"]
            rows, width = layer.weight.shape
            bits, group_size = packed.shape[1] * 32 // width, width // scales.shape[1]
            try:
                check_quantization(width, group_size, bits)
            except ValueError as error:
                raise ValueError(
                    f"{name} is no quantized form of a [{rows}, {width}] weight: {error}"
                ) from error
            fresh[name] = (
                QuantizedEmbedding(rows, width, group_size=group_size, bits=bits)
                if isinstance(layer, Embedding)
                else QuantizedLinear(
                    width, rows, bias="bias" in layer, group_size=group_size, bits=bits
                )
            )
    replace_modules(module, fresh, evaluate=False)


def describe_quantization(
    model: nn.Module, to_disk: Callable[[Weights], Weights]
) -> dict[str, Any] | None:
    """The `quantization` section of config.json as mlx-lm writes it, or None for a model in full.

    Args:
        model: whose layers tell.
        to_disk: renames weights, and splits them, as they are stored; layers with other bits than most get an entry
            under their stored name.
    """
    # What adapters stand on is saved apart, or in full with them.
    layers = {n: layer for n, layer in quantized_layers(model).items() if not n.endswith(".base")}
    if not layers:
        return None

    def stored(fact: str) -> dict[str, int]:
        # Scales that hold a layer's fact go to disk as the scales would: under the same names, split alike.
        facts = {
            f"{name}.scales": mx.full(layer.scales.shape, getattr(layer, fact))
            for name, layer in layers.items()
        }
        return {
            name.removesuffix(".scales"): int(full.max()) for name, full in to_disk(facts).items()
        }

    group_sizes, bits = stored("group_size"), stored("bits")
    settings = {name: {"group_size": group_sizes[name], "bits": bits[name]} for name in bits}
    counts = Counter((group_sizes[name], bits[name]) for name in bits)
    usual = dict(zip(("group_size", "bits"), counts.most_common(1)[0][0], strict=True))
    return {**usual, **{name: own for name, own in settings.items() if own != usual}}


def replace_modules(
    model: nn.Module, modules: Mapping[str, nn.Module], *, evaluate: bool = True
) -> None:
    """Put modules in the places that the names say; computes their weights, so that the old ones can go."""
    if evaluate:
        mx.eval([module.parameters() for module in modules.values()])
    model.update_modules(tree_unflatten(list(modules.items())))


def _quantized(layer: Layer, group_size: int, bits: int) -> QuantizedLinear | QuantizedEmbedding:
    if isinstance(layer, Embedding):
        return QuantizedEmbedding.from_embedding(layer, group_size, bits)
    return QuantizedLinear.from_linear(layer, group_size, bits)


def _measure_with(
    model: nn.Module, name: str, layer: Layer, group_size: int, measure: Callable[[Any], float]
) -> float:
    replace_modules(model, {name: _quantized(layer, group_size, LOW)})
    try:
        return measure(model)
    finally:
        replace_modules(model, {name: layer})


def _spend(
    increases: Mapping[str, float], sizes: Mapping[str, int], mean_bits: float
) -> frozenset[str]:
    """The layers that get 8 bits: most loss per weight first, those that no longer fit passed over."""
    left = (mean_bits - LOW) * sum(sizes.values())
    promoted = []
    for name in sorted(increases, key=lambda name: increases[name] / sizes[name], reverse=True):
        cost = (HIGH - LOW) * sizes[name]
        if increases[name] > 0 and cost <= left:
            promoted.append(name)
            left -= cost
    return frozenset(promoted)


def _check(layers: Mapping[str, Layer], group_size: int, all_bits: Iterable[int]) -> None:
    """Refuse before anything is replaced, with the group size that suits all layers."""
    if not layers:
        raise ValueError("the model has no linear layer to quantize")
    widths = sorted({layer.weight.shape[1] for layer in layers.values()})
    fitting = [size for size in GROUP_SIZES if all(width % size == 0 for width in widths)]
    if fitting and group_size in GROUP_SIZES and group_size not in fitting:
        wrong = ", ".join(str(width) for width in widths if width % group_size)
        near = min(fitting, key=lambda size: abs(size - group_size))
        raise ValueError(
            f"layers of width {wrong} have no whole groups of {group_size}; use group_size={near}"
        )
    for width, bits in product(widths, sorted(all_bits)):
        check_quantization(width, group_size, bits)


def _spelled(layers: Mapping[str, Layer], bits: int, layer_bits: Mapping[str, int] | None) -> str:
    used = sorted({(layer_bits or {}).get(name, bits) for name in layers})
    return " or ".join(map(str, used))


def _in_order(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in name.split(".")]
