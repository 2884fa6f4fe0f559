"""DoRA and QLoRA: magnitudes as in the paper, quantized bases that stay as they are."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.models.lora import DoRALinear, LoRAAdapter, LoRAConfig, LoRALinear
from bert_playground.models.quantization_utils import parameter_bytes, quantized_layers
from bert_playground.models.quantized_layers import QuantizedLinear
from bert_playground.models.tokenwise import Linear, normal
from tests.models.layouts import as_packed, real
from tests.models.tiny import largest_difference, make_encoder, make_rows
from tests.tolerances import ADAPTER, BF16, LAYOUT


def make_base(*, bias: bool = True) -> Linear:
    base = Linear(32, 24, bias=bias, initialize=normal(1.0))
    if bias:
        base.bias = mx.random.normal((24,))
    return base


@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_dora_starts_as_its_base_bit_for_bit(bits: int | None, dtype: mx.Dtype) -> None:
    base = make_base()
    base = base if bits is None else QuantizedLinear.from_linear(base, 32, bits)
    layer = DoRALinear.from_base(base, ranks=(2, 3), scales=(2.0, 1.5), parts=(0, 2), num_parts=3)
    x = mx.random.normal((7, 32)).astype(dtype)
    assert mx.array_equal(layer(x), base(x))
    assert layer(x).dtype == dtype


def test_dora_is_the_formula_of_the_paper() -> None:
    base = make_base()
    layer = DoRALinear.from_base(base, ranks=(2, 3), scales=(2.0, 1.5), parts=(0, 2), num_parts=3)
    layer.lora_b = mx.random.normal(layer.lora_b.shape)
    layer.magnitude = layer.magnitude * mx.random.uniform(0.5, 2, layer.magnitude.shape)
    weight, lora_a, lora_b = (
        np.array(a, dtype=np.float64) for a in (base.weight, layer.lora_a, layer.lora_b)
    )
    magnitude = np.linalg.norm(weight, axis=1)
    magnitude[:8], magnitude[16:] = np.array(layer.magnitude)[:8], np.array(layer.magnitude)[8:]
    direction = weight.copy()
    direction[:8] += 2.0 * lora_b[:, :2] @ lora_a[:2]
    direction[16:] += 1.5 * lora_b[:, 2:] @ lora_a[2:]
    expected = magnitude[:, None] * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    assert np.allclose(layer.merged_weight(), expected, atol=1e-5)
    assert np.allclose(layer.full_magnitude(), magnitude, atol=1e-5)
    x = mx.random.normal((5, 32))
    assert np.allclose(layer(x), np.array(x) @ expected.T + np.array(base.bias), atol=1e-4)
    assert np.allclose(layer.fuse()(x), layer(x), atol=1e-4)


def test_the_length_counts_as_a_constant_in_the_backward_pass() -> None:
    layer = DoRALinear.from_base(make_base(), ranks=(2,), scales=(1.0,))
    layer.lora_b = mx.random.normal(layer.lora_b.shape)
    x, dy = mx.random.normal((5, 32)), mx.random.normal((5, 24))

    def loss(parameters: dict[str, mx.array]) -> mx.array:
        layer.update(parameters)
        return (layer(x) * dy).sum()

    layer.freeze()
    layer.unfreeze(recurse=False)
    gradients = mx.grad(loss)(layer.trainable_parameters())
    scales = layer.row_scales()
    by_hand = (scales[:, None] * dy.T) @ (x @ layer.lora_a.T)
    assert largest_difference(gradients["lora_b"], by_hand) < LAYOUT
    lengths = layer.magnitude / scales
    direction = (x @ (layer.base.weight + layer.lora_b @ layer.lora_a).T) / lengths
    assert largest_difference(gradients["magnitude"], (dy * direction).sum(axis=0)) < LAYOUT


def test_a_row_of_zeros_stays_finite() -> None:
    base = make_base()
    base.weight = base.weight * (mx.arange(24) > 0)[:, None]
    layer = DoRALinear.from_base(base, ranks=(2,), scales=(1.0,))
    x = mx.random.normal((5, 32))
    assert mx.array_equal(layer(x), base(x))


def test_a_new_weight_under_dora_is_noticed() -> None:
    base = make_base()
    layer = DoRALinear.from_base(base, ranks=(2,), scales=(1.0,))
    base.weight = base.weight * 3
    expected = layer.magnitude / mx.linalg.norm(base.weight, axis=1)
    assert np.allclose(layer.row_scales(), expected, atol=1e-6)


@pytest.mark.parametrize("use_dora", [False, True])
def test_qlora_quantizes_the_base_and_trains_beside_it(use_dora: bool) -> None:
    encoder, tokens = make_encoder("bert", hidden_size=64, intermediate_size=128), make_rows([9, 4])
    before = parameter_bytes(encoder)
    adapter = LoRAAdapter(
        encoder, LoRAConfig(r=2, target_modules="all-linear", bits=4, use_dora=use_dora)
    )
    assert parameter_bytes(encoder) < before / 2
    assert len(quantized_layers(encoder)) == 12
    assert all(
        "lora_" in k or "magnitude" in k for k, _ in tree_flatten(encoder.trainable_parameters())
    )
    for module in encoder.modules():
        if isinstance(module, LoRALinear):
            module.lora_b = mx.random.normal(module.lora_b.shape) / 10
    adapted = encoder.encode(tokens)
    packed = real(encoder.encode(as_packed(tokens)), as_packed(tokens))
    assert largest_difference(packed, real(adapted, tokens)) < LAYOUT

    def loss(parameters: dict[str, mx.array]) -> mx.array:
        encoder.update(parameters)
        return mx.square(encoder.encode(tokens)).sum()

    gradients = dict(tree_flatten(mx.grad(loss)(encoder.trainable_parameters())))
    assert all(float(mx.abs(g).max()) > 0 for k, g in gradients.items() if "attention.output" in k)
    encoder.dtype = mx.bfloat16
    assert largest_difference(encoder.encode(tokens)[0], adapted[0]) < BF16  # the first row is full
    encoder.dtype = mx.float32
    adapter.merge()
    assert not quantized_layers(encoder)
    assert (
        largest_difference(real(encoder.encode(tokens), tokens), real(adapted, tokens))
        < ADAPTER * 10
    )
    adapter.unmerge()
    assert mx.array_equal(encoder.encode(tokens), adapted)
    adapter.merge(requantize=True)
    assert len(quantized_layers(encoder)) == 12
    assert largest_difference(real(encoder.encode(tokens), tokens), real(adapted, tokens)) < 0.5


def test_a_quantized_model_takes_adapters_and_refuses_other_bits() -> None:
    encoder = make_encoder("bert", hidden_size=64, intermediate_size=128)
    LoRAAdapter(encoder, LoRAConfig(bits=8)).merge(requantize=True)
    with pytest.raises(
        ValueError, match=r"quantized already, to 8 bits in groups of 64.*asks for 4 bits"
    ):
        LoRAAdapter(encoder, LoRAConfig(bits=4))
    LoRAAdapter(encoder, LoRAConfig(bits=8))


def test_quantized_modules_cannot_be_saved_in_full() -> None:
    encoder = make_encoder("bert", hidden_size=64, intermediate_size=128)
    with pytest.raises(
        ValueError,
        match=r"cannot be trained in full: layers.1.feed_forward.down, layers.1.feed_forward.up",
    ):
        LoRAAdapter(encoder, LoRAConfig(bits=4, modules_to_save=["layers.1.feed_forward"]))
