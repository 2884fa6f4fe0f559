"""Weights packed for evaluation: the same answers, never stale, never trained on, never saved."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground import kernels
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import hub_weights, load_model, save_model
from bert_playground.models.heads import HeadConfig, create_head
from bert_playground.models.tokenwise import Linear, cast_embeddings, normal, prepack_weights
from tests.models.layouts import as_packed
from tests.models.tiny import largest_difference, make_encoder, make_rows
from tests.tolerances import KERNEL, KERNEL_BF16, KERNEL_INT8

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(not kernels.is_native(), reason="the native kernels are not installed"),
]
TOLERANCES = {mx.float32: KERNEL, mx.bfloat16: KERNEL_BF16}
both_types = pytest.mark.parametrize("dtype", list(TOLERANCES), ids=["f32", "bf16"])


def make_layer() -> Linear:
    mx.random.seed(0)
    layer = Linear(50, 34, bias=True, initialize=normal(0.2))
    layer.bias = mx.random.normal((34,))
    return layer.eval()


def make_model(name: str, dtype: mx.Dtype = mx.float32) -> BertWithHead:
    mx.random.seed(0)
    encoder = make_encoder(name)
    encoder.dtype = dtype
    options = {"num_labels": 3, "pooling": "mean", "transform": "none"}
    head = create_head(HeadConfig("multiclass", hidden_size=encoder.hidden_size, **options))
    return BertWithHead(encoder, head).eval()


@both_types
@pytest.mark.parametrize("activation", ["none", "gelu", "geglu", "swiglu"])
def test_a_packed_layer_answers_as_before(activation: Any, dtype: mx.Dtype) -> None:
    layer, x = make_layer(), mx.random.normal((7, 50)).astype(dtype)
    wanted = layer(x, activation)
    layer.prepack_weight(dtype)
    for _ in range(2):
        assert largest_difference(layer(x, activation), wanted) <= TOLERANCES[dtype]
    layer.prepack_weight(None)
    assert mx.array_equal(layer(x, activation), wanted)


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("activation", ["none", "gelu", "geglu", "swiglu"])
def test_8_bits_stay_near(activation: Any, dtype: mx.Dtype) -> None:
    layer, x = make_layer(), mx.random.normal((7, 50)).astype(dtype)
    wanted = layer(x, activation)
    layer.prepack_weight(mx.int8)
    assert largest_difference(layer(x, activation), wanted) <= KERNEL_INT8
    assert not mx.array_equal(layer(x, activation), wanted)


@pytest.mark.parametrize("how", ["assigned", "updated", "overwritten"])
def test_a_new_weight_is_packed_anew(how: str) -> None:
    layer, x = make_layer(), mx.random.normal((7, 50))
    layer.prepack_weight(mx.float32)
    before = layer(x)
    if how == "assigned":
        layer.weight = layer.weight * 2
    elif how == "updated":
        layer.update({"weight": layer.weight * 2})
    else:
        layer.weight[:] = layer.weight * 2
        layer.prepack_weight(mx.float32)
    twice = (before - layer.bias) * 2 + layer.bias
    assert largest_difference(layer(x), twice) <= KERNEL


def test_one_layer_may_be_called_with_several_activations() -> None:
    layer, x = make_layer(), mx.random.normal((7, 50))
    wanted = {name: layer(x, name) for name in ("none", "geglu", "gelu", "swiglu")}
    layer.prepack_weight(mx.float32)
    for name in ("none", "geglu", "swiglu", "none", "gelu"):
        assert largest_difference(layer(x, name), wanted[name]) <= KERNEL


def test_training_takes_the_weight_itself() -> None:
    layer, x = make_layer(), mx.random.normal((7, 50))
    wanted = nn.value_and_grad(layer, lambda x: mx.square(layer(x)).sum())(x)
    layer.prepack_weight(mx.float32)
    layer(x)
    layer.train()
    value, gradients = nn.value_and_grad(layer, lambda x: mx.square(layer(x)).sum())(x)
    assert float(value) == float(wanted[0])
    for name, gradient in wanted[1].items():
        assert mx.array_equal(gradients[name], gradient)


@pytest.mark.parametrize("packing", [mx.float32, mx.int8])
def test_gradients_of_packed_weights_are_refused_with_a_way_out(packing: mx.Dtype) -> None:
    layer, x = make_layer(), mx.random.normal((7, 50))
    layer.prepack_weight(packing)
    layer(x)
    with pytest.raises(ValueError, match=r"no gradient.*linear"):
        mx.grad(lambda x: mx.square(layer(x)).sum())(x)


def test_the_type_that_comes_decides() -> None:
    # A model in bf16 pools to f32, which is what its head gets.
    layer, x = make_layer(), mx.random.normal((7, 50))
    wanted = layer(x)
    layer.prepack_weight(mx.bfloat16)
    assert largest_difference(layer(x), wanted) <= KERNEL
    assert layer(x.astype(mx.bfloat16)).dtype == mx.bfloat16


@both_types
@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_a_packed_model_answers_as_before(name: str, dtype: mx.Dtype) -> None:
    model, tokens = make_model(name, dtype), as_packed(make_rows([5, 1, 17, 8]))
    wanted = model(tokens)
    prepack_weights(model, dtype)
    assert largest_difference(model(tokens), wanted) <= (5e-5 if dtype == mx.float32 else 5e-2)


def test_nothing_packed_is_a_parameter_or_saved(tmp_path: Path) -> None:
    model, tokens = make_model("bert"), as_packed(make_rows([5, 1, 17, 8]))
    names = {name for name, _ in tree_flatten(model.parameters())}
    weights, wanted = set(hub_weights(model)), model(tokens)
    save_model(model, tmp_path / "plain")
    prepack_weights(model, mx.float32)
    model(tokens)
    assert {name for name, _ in tree_flatten(model.parameters())} == names
    assert {name for name, _ in tree_flatten(model.trainable_parameters())} == names
    assert set(hub_weights(model)) == weights
    save_model(model, tmp_path / "packed")
    plain, packed = (
        (tmp_path / folder / "model.safetensors").read_bytes() for folder in ("plain", "packed")
    )
    assert plain == packed
    assert np.allclose(load_model(tmp_path / "packed")(tokens), wanted, atol=1e-5)


@pytest.mark.parametrize("packing", [mx.float32, mx.int8])
def test_a_weight_given_up_is_gone_and_missed_with_a_way_out(packing: mx.Dtype) -> None:
    layer, x = make_layer(), mx.random.normal((7, 50))
    layer.prepack_weight(packing)
    wanted = layer(x, "gelu")
    layer.prepack_weight(packing, drop_original=True)
    for _ in range(2):
        assert mx.array_equal(layer(x, "gelu"), wanted)
    assert "weight" not in layer.parameters()
    for other in (
        lambda: layer(x),
        lambda: layer.prepack_weight(None),
        lambda: layer.train()(x, "gelu"),
    ):
        with pytest.raises(ValueError, match="load the model again"):
            other()


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_a_model_for_predictions_alone_answers_the_same(name: str) -> None:
    model, tokens = make_model(name, mx.bfloat16), as_packed(make_rows([5, 1, 17, 8]))
    prepack_weights(model.encoder, mx.bfloat16)
    wanted = model(tokens)
    prepack_weights(model.encoder, mx.bfloat16, drop_original=True)
    cast_embeddings(model.encoder, mx.bfloat16)
    assert mx.array_equal(model(tokens), wanted)
    left = sum(leaf.nbytes for _, leaf in tree_flatten(model.encoder.parameters()))
    assert left < model.encoder.embeddings.words.weight.nbytes * 3
