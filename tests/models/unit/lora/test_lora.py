"""Adapters: start as the base, train alone, and merge into what they were."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.factory import create_model
from bert_playground.models.lora import (
    LORA_PRESETS,
    LoRAAdapter,
    LoRAConfig,
    LoRALinear,
    create_lora_config,
    merged_parameters,
)
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.models.tokenwise import Linear, named_parameters, normal
from tests.models.layouts import as_packed
from tests.models.tiny import largest_difference, make_encoder, make_rows
from tests.tolerances import LAYOUT

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}
every_encoder = pytest.mark.parametrize("name", ENCODERS)
every_preset = pytest.mark.parametrize("preset", LORA_PRESETS)


def config_of(preset: str) -> LoRAConfig:
    """A preset for tiny layers, whose rows have no groups of 64."""
    return create_lora_config(preset, group_size=32)


def fill(model: object) -> None:
    """Give B random values, as after training."""
    for index, module in enumerate(model.modules()):
        if isinstance(module, LoRALinear):
            module.lora_b = mx.random.normal(module.lora_b.shape, key=mx.random.key(index)) / 5


@every_encoder
@every_preset
def test_an_adapted_model_starts_as_its_base(name: str, preset: str) -> None:
    model, tokens = create_model(name, num_labels=2, **SIZES).eval(), make_rows([9, 4])
    before = model(tokens)
    config = config_of(preset)
    if config.bits is not None:
        before = quantize_model(model, config.bits, config.group_size)(tokens)
    LoRAAdapter(model, config)
    assert mx.array_equal(model(tokens), before)


@every_encoder
def test_only_adapters_and_head_are_trainable(name: str) -> None:
    model = create_model(name, num_labels=2, use_lora=True, lora_preset="efficient", **SIZES)
    trainable = dict(tree_flatten(model.trainable_parameters()))
    assert trainable
    assert all("lora_" in key or key.startswith("head.") for key in trainable)
    assert any("lora_a" in key for key in trainable)
    # query and value, rank 4, two layers: A and B of 4 * 32 each.
    assert sum(value.size for key, value in trainable.items() if "lora_" in key) == 2 * 2 * 2 * 128


@every_encoder
@every_preset
def test_merging_changes_no_answer_and_leaves_a_plain_model(name: str, preset: str) -> None:
    model, tokens = create_model(name, num_labels=2, **SIZES), make_rows([9, 4])
    plain = set(named_parameters(model))
    adapter = LoRAAdapter(model, config_of(preset))
    fill(model)
    model.eval()
    adapted = model(tokens)
    assert largest_difference(model(as_packed(tokens)), adapted) < LAYOUT
    would_be = merged_parameters(model)
    merged = adapter.merge()
    assert largest_difference(merged(tokens), adapted) < LAYOUT
    assert set(named_parameters(merged)) == plain == set(would_be)
    assert all(
        mx.array_equal(would_be[key], value) for key, value in named_parameters(merged).items()
    )
    assert set(dict(tree_flatten(merged.trainable_parameters()))) == plain


def test_an_adapter_on_query_and_value_leaves_the_keys_alone() -> None:
    base = Linear(8, 24, bias=False, initialize=normal(1.0))
    layer = LoRALinear.from_base(base, ranks=(2, 3), scales=(2.0, 0.5), parts=(0, 2), num_parts=3)
    layer.lora_b = mx.random.normal(layer.lora_b.shape)
    difference = np.array(layer.merged_weight() - base.weight)
    assert (difference[8:16] == 0).all()
    for own, rows, scale in ((slice(0, 2), slice(0, 8), 2.0), (slice(2, 5), slice(16, 24), 0.5)):
        expected = scale * np.array(layer.lora_b)[:, own] @ np.array(layer.lora_a)[own]
        assert np.allclose(difference[rows], expected, atol=1e-5)
    x = mx.random.normal((3, 8))
    assert np.allclose(layer(x), x @ layer.merged_weight().T, atol=1e-4)


def test_a_fused_activation_sees_the_update_too() -> None:
    base = Linear(8, 12, bias=True, initialize=normal(1.0))
    layer = LoRALinear.from_base(base, ranks=(2,), scales=(1.0,))
    layer.lora_b = mx.random.normal(layer.lora_b.shape)
    x = mx.random.normal((5, 8))
    fused = layer(x, "geglu")
    assert np.allclose(fused, layer.fuse()(x, "geglu"), atol=1e-4)


def test_an_encoder_alone_can_be_adapted() -> None:
    encoder = make_encoder("bert")
    LoRAAdapter(encoder, LoRAConfig(r=8, alpha=16, dropout=0.1, target_modules=["query", "value"]))
    trainable = dict(tree_flatten(encoder.trainable_parameters()))
    assert len(trainable) == 2 * 3
    encoder.train()
    assert encoder.encode(make_rows([5])).shape == (1, 5, 32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: create_lora_config("balancd"), "did you mean 'balanced'"),
        (lambda: create_lora_config("balanced", rank=3), "unknown LoRA option 'rank'"),
        (lambda: LoRAConfig(r=0, dropout=1.0), "r is 0.*dropout is 1.0"),
        (lambda: LoRAConfig(target_modules=[]), "empty"),
    ],
)
def test_impossible_adapters_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_merging_is_undone_bit_for_bit() -> None:
    model, tokens = create_model("bert", num_labels=2, **SIZES).eval(), make_rows([9, 4])
    weight = model.encoder.layers[0].attention.qkv.weight
    adapter = LoRAAdapter(model, create_lora_config("dora"))
    fill(model)
    adapted, trainable = model(tokens), set(dict(tree_flatten(model.trainable_parameters())))
    adapter.merge()
    assert not mx.array_equal(model.encoder.layers[0].attention.qkv.weight, weight)
    adapter.unmerge()
    assert mx.array_equal(model.encoder.layers[0].attention.qkv.base.weight, weight)
    assert mx.array_equal(model(tokens), adapted)
    assert set(dict(tree_flatten(model.trainable_parameters()))) == trainable
    with pytest.raises(ValueError, match="nothing is merged"):
        adapter.unmerge()


def test_an_adapter_in_training_mode_drops_and_in_evaluation_does_not() -> None:
    model, tokens = create_model("bert", num_labels=2, **SIZES), make_rows([9])
    LoRAAdapter(model, create_lora_config("balanced", dropout=0.5))
    fill(model)
    model.eval()
    assert mx.array_equal(model(tokens), model(tokens))
    layer = model.encoder.layers[0].attention.qkv
    x = mx.random.normal((4, 32))
    model.train()
    assert not mx.array_equal(layer(x), layer(x))


def test_a_preset_and_a_strategy_of_ones_own_take_a_line_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Frozen(LoRAAdapter):
        def wrap(self, base, places, config):
            layer = super().wrap(base, places, config)
            layer.lora_a = mx.ones(layer.lora_a.shape)
            return layer

    monkeypatch.setitem(LORA_PRESETS, "mine", LoRAConfig(r=3, target_modules=["up"]))
    model = create_model("bert", num_labels=2, use_lora=True, lora_preset="mine", **SIZES)
    assert model.encoder.layers[0].feed_forward.up.lora_a.shape == (3, 32)
    encoder = make_encoder("bert")
    Frozen(encoder, create_lora_config("mine"))
    assert mx.array_equal(encoder.layers[0].feed_forward.up.lora_a, mx.ones((3, 32)))


def test_a_model_is_adapted_once() -> None:
    encoder = make_encoder("bert")
    LoRAAdapter(encoder, LoRAConfig())
    with pytest.raises(ValueError, match="merge them first"):
        LoRAAdapter(encoder, LoRAConfig())
