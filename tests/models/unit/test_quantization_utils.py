"""quantize_model, choose_bits: what is quantized, what it costs, what is refused; saved and loaded."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.checkpoint import load_model, save_model
from bert_playground.models.factory import create_model
from bert_playground.models.huggingface import load_encoder, read_pretrained
from bert_playground.models.lora import LoRAAdapter, LoRAConfig
from bert_playground.models.quantization_utils import (
    choose_bits,
    dequantize_model,
    find_layers,
    parameter_bytes,
    quantize_model,
    quantized_layers,
)
from bert_playground.models.quantized_layers import QuantizedEmbedding, QuantizedLinear
from bert_playground.models.tokenwise import Linear, named_parameters
from tests.models.layouts import as_packed, real
from tests.models.tiny import largest_difference, make_rows
from tests.tolerances import QUANTIZED

SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 32,
}
every_encoder = pytest.mark.parametrize("name", ENCODERS)


def make(name: str = "bert", **options: Any) -> BertWithHead:
    # NeoBERT's feed-forward is two thirds as wide as its config says.
    wide = {"intermediate_size": 192} if name == "neobert" else {}
    return create_model(name, num_labels=2, **(SIZES | wide | options)).eval()


@every_encoder
def test_the_encoder_is_quantized_and_the_head_is_not(name: str) -> None:
    model = make(name)
    assert quantize_model(model, bits=4, group_size=32) is model
    linears = [n for n, module in model.named_modules() if isinstance(module, Linear)]
    layers = quantized_layers(model)
    assert len(layers) == 8
    assert all(isinstance(layer, QuantizedLinear) for layer in layers.values())
    assert linears
    assert all(n.startswith("head.") for n in linears)


@every_encoder
@pytest.mark.parametrize(("bits", "most"), [(4, 0.5), (8, 0.05)])
def test_the_answer_stays_near(name: str, bits: int, most: float) -> None:
    model, tokens = make(name), make_rows([9, 5, 3])
    before = real(model.encoder.encode(tokens), tokens)
    quantize_model(model, bits=bits, group_size=32)
    after = real(model.encoder.encode(tokens), tokens)
    assert 0 < largest_difference(after, before) < most


@every_encoder
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_a_quantized_model_computes_what_its_full_weights_compute(
    name: str, dtype: mx.Dtype
) -> None:
    model, tokens = make(name), make_rows([9, 5, 3])
    quantize_model(model, bits=4, group_size=64, quantize_embeddings=True)
    model.encoder.dtype = dtype
    padded, packed = model(tokens), model(as_packed(tokens))
    dequantize_model(model)
    assert not quantized_layers(model)
    assert largest_difference(padded, model(tokens)) < QUANTIZED[dtype]
    assert largest_difference(packed, model(as_packed(tokens))) < QUANTIZED[dtype]


def test_memory_is_what_the_arrays_take() -> None:
    model = make(hidden_size=128, intermediate_size=512)
    before = parameter_bytes(model)
    weights = sum(layer.weight.size for layer in find_layers(model).values())
    quantize_model(model, bits=4, group_size=64)
    # 4 bits each, and two f32 per 64 weights.
    assert before - parameter_bytes(model) == weights * 4 - weights // 2 - weights // 64 * 8
    assert sum(array.nbytes for array in named_parameters(model).values()) == parameter_bytes(model)


def test_embeddings_and_head_are_quantized_when_asked() -> None:
    model = make("modernbert")
    quantize_model(model, bits=8, quantize_embeddings=True, quantize_head=True)
    layers = quantized_layers(model)
    assert isinstance(layers["encoder.embeddings.words"], QuantizedEmbedding)
    assert [name for name in layers if name.startswith("head.")] == ["head.dense"]


def test_an_encoder_alone_is_quantized_too() -> None:
    encoder = make().encoder
    ids = mx.array([[3, 4, 5]])
    before = encoder(ids)
    quantize_model(encoder, bits=8, quantize_embeddings=False)
    assert set(quantized_layers(encoder)) == set(find_layers(make().encoder))
    assert largest_difference(encoder(ids), before) < 0.05


def test_adapters_stay_and_stay_trainable() -> None:
    model, tokens = make(), make_rows([6, 4])
    LoRAAdapter(model, LoRAConfig(r=2, target_modules=("query", "value")))
    model.eval()
    trainable = {name for name in named_parameters(model) if "lora_" in name}
    before = model(tokens)
    quantize_model(model, bits=8)
    assert largest_difference(model(tokens), before) < 0.1
    assert "encoder.layers.0.attention.qkv.base" in quantized_layers(model)
    assert {name for name in named_parameters(model) if "lora_" in name} == trainable

    def loss(parameters: dict[str, Any]) -> mx.array:
        model.update(parameters)
        return mx.square(model(tokens)).sum()

    gradients = mx.grad(loss)(model.trainable_parameters())
    assert gradients["encoder"]["layers"][0]["attention"]["qkv"]


def test_the_layer_that_matters_gets_eight_bits() -> None:
    model, tokens = make(), make_rows([9, 5, 3])
    wanted = "encoder.layers.1.feed_forward.down"
    layer = find_layers(model)[wanted]
    full = layer.weight

    def measure(changed: BertWithHead) -> float:
        # A loss that sees this one layer alone.
        now = find_layers(changed).get(wanted) or quantized_layers(changed)[wanted].to_full()
        return float(mx.square(now.weight - full).mean())

    choices = choose_bits(model, measure, mean_bits=6.0, group_size=32)
    assert not quantized_layers(model)
    assert [choice.name for choice in choices] == list(find_layers(model))
    assert {choice.name for choice in choices if choice.bits == 8} == {wanted}
    assert all(choice.loss_increase == 0 for choice in choices if choice.name != wanted)
    quantize_model(model, bits=4, group_size=32, layer_bits={c.name: c.bits for c in choices})
    assert [layer.bits for layer in quantized_layers(model).values()].count(8) == 1
    assert model(tokens).shape == (3,)


# A layer's qkv has 3 shares of the weights, output 1, up and down 2 each: 16 shares in two layers.
@pytest.mark.parametrize(("mean_bits", "eights"), [(4.0, 0), (4.3, 1), (5.0, 3), (8.0, 8)])
def test_the_mean_of_bits_is_kept(mean_bits: float, eights: int) -> None:
    model = make()
    counter = iter(range(100))
    choices = choose_bits(model, lambda _: float(next(counter)), mean_bits=mean_bits)
    weights = sum(choice.num_weights for choice in choices)
    spent = sum(choice.num_weights * choice.bits for choice in choices) / weights
    assert spent <= mean_bits
    assert sum(choice.bits == 8 for choice in choices) == eights


def test_a_loss_that_raises_leaves_the_model_whole() -> None:
    model = make()

    def measure(changed: BertWithHead) -> float:
        if quantized_layers(changed):
            raise RuntimeError("stop")
        return 1.0

    with pytest.raises(RuntimeError, match="stop"):
        choose_bits(model, measure)
    assert not quantized_layers(model)


@every_encoder
@pytest.mark.parametrize(("bits", "is_mixed"), [(4, False), (8, False), (4, True)])
def test_it_is_saved_small_and_loaded_as_it_was(
    name: str, bits: int, is_mixed: bool, tmp_path: Path
) -> None:
    model, tokens = make(name), make_rows([9, 5, 3])
    save_model(model, tmp_path / "full")
    special = "encoder.layers.1.attention.qkv"
    layer_bits = {special: 8} if is_mixed else {}
    quantize_model(model, bits=bits, group_size=32, quantize_embeddings=True, layer_bits=layer_bits)
    save_model(model, tmp_path / "small")
    loaded = load_model(tmp_path / "small")
    before, after = named_parameters(model), named_parameters(loaded)
    assert set(before) == set(after)
    assert all(mx.array_equal(before[key], after[key]).item() for key in before)
    assert mx.array_equal(loaded(tokens), model(tokens))
    assert {n: layer.bits for n, layer in quantized_layers(loaded).items()} == {
        n: layer_bits.get(n, bits) for n in quantized_layers(model)
    }
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("small", "full")]
    assert sizes[0] < 0.6 * sizes[1]


def test_config_json_spells_it_as_mlx_lm_does(tmp_path: Path) -> None:
    model = make()
    layer_bits = {"encoder.layers.1.attention.qkv": 8}
    quantize_model(model, bits=4, group_size=64, layer_bits=layer_bits)
    save_model(model, tmp_path)
    section = json.loads((tmp_path / "config.json").read_text())["quantization"]
    attention = "bert.encoder.layer.1.attention.self"
    special = {f"{attention}.{part}" for part in ("query", "key", "value")}
    assert section == {"group_size": 64, "bits": 4} | {
        name: {"group_size": 64, "bits": 8} for name in special
    }
    weights = mx.load(str(tmp_path / "model.safetensors"))
    assert isinstance(weights, dict)
    assert {f"{name}.{part}" for name in special for part in ("weight", "scales", "biases")} < set(
        weights
    )
    assert weights[f"{attention}.query.weight"].shape == (64, 64 * 8 // 32)
    save_model(dequantize_model(model), tmp_path)
    assert "quantization" not in json.loads((tmp_path / "config.json").read_text())


def test_a_quantized_head_is_saved_and_loaded(tmp_path: Path) -> None:
    model, tokens = make("modernbert"), make_rows([9, 5])
    quantize_model(model, bits=8, quantize_head=True)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded.head.dense, QuantizedLinear)
    assert mx.array_equal(loaded(tokens), model(tokens))


def test_an_encoder_is_read_without_its_head(tmp_path: Path) -> None:
    model, tokens = quantize_model(make()), make_rows([9, 5])
    save_model(model, tmp_path)
    encoder = load_encoder(read_pretrained(tmp_path)).eval()
    assert mx.array_equal(encoder.encode(tokens), model.encoder.encode(tokens))


def test_packed_weights_that_fit_no_layer_are_refused(tmp_path: Path) -> None:
    save_model(quantize_model(make()), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values["intermediate_size"] = 96
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"feed_forward\.down .*\[64, 96\]"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 3}, "bits is 3, expected one of 4, 8"),
        ({"group_size": 60}, "group_size is 60, .* the nearest is 64"),
        ({"group_size": 128}, "layers of width 64 have no whole groups of 128; use group_size=64"),
        (
            {"layer_bits": {"encoder.layers.1.attention.qvk": 8}},
            r"'encoder.layers.1.attention.qvk'; did you mean 'encoder.layers.1.attention.qkv'",
        ),
        ({"layer_bits": {"encoder.layers.1.attention.qkv": 5}}, "bits is 5"),
    ],
)
def test_impossible_requests_are_refused_before_anything_changes(
    options: dict[str, Any], message: str
) -> None:
    model = make()
    with pytest.raises(ValueError, match=message):
        quantize_model(model, **options)
    assert not quantized_layers(model)


def test_widths_that_share_no_group_size_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of 40 weights cannot be quantized"):
        quantize_model(make(hidden_size=40))


def test_quantizing_again_takes_the_new_bits() -> None:
    model = quantize_model(make(), bits=4)
    once = dequantize_model(quantize_model(make(), bits=4))
    small = parameter_bytes(model)
    quantize_model(model, bits=8, group_size=32)
    assert {layer.bits for layer in quantized_layers(model).values()} == {8}
    assert parameter_bytes(model) > small
    assert parameter_bytes(once) > parameter_bytes(model)


def test_bits_are_chosen_for_full_weights_only() -> None:
    with pytest.raises(ValueError, match=r"quantized already; dequantize_model\(model\) undoes it"):
        choose_bits(quantize_model(make()), lambda _: 0.0)
    with pytest.raises(ValueError, match="mean_bits is 9"):
        choose_bits(make(), lambda _: 0.0, mean_bits=9)
