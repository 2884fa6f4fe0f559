"""Frozen weights cost nothing: no weight gradient in the backward pass, no moments, with and without kernels."""

import io
import re
from collections import Counter
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from bert_playground import kernels
from bert_playground.data.core.types import Batch
from bert_playground.models.bert_with_head import ENCODERS, BertWithHead
from bert_playground.models.factory import create_model
from bert_playground.models.lora import LORA_PRESETS, LoRAAdapter, create_lora_config
from bert_playground.training.core.optimizers import AdamW
from bert_playground.training.core.step import can_compile, make_train_step
from tests.models.layouts import as_packed
from tests.models.tiny import largest_difference, make_rows
from tests.tolerances import LAYOUT

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}
LINEAR = 4 * 2  # products with encoder weights in a forward pass: four in each of two layers


def make_model(name: str, preset: str | None, **options: Any) -> BertWithHead:
    mx.random.seed(0)
    model = create_model(name, num_labels=2, **SIZES, **options)
    if preset is not None:
        LoRAAdapter(model, create_lora_config(preset, group_size=32, dropout=0.0))
    return model.train()


def gradient_graph(model: BertWithHead, tokens: Any) -> str:
    """The graph of all gradients, in dot."""

    def loss(parameters: Any) -> mx.array:
        model.update(parameters)
        return mx.square(model(tokens)).sum()

    gradients = mx.grad(loss)(model.trainable_parameters())
    text = io.StringIO()
    mx.export_to_dot(text, *[g for _, g in tree_flatten(gradients)])
    return text.getvalue()


def count(graph: str) -> Counter[str]:
    """How often each operation is in a graph."""
    return Counter(re.findall(r'label ?= ?"(\w+)", shape=rectangle', graph))


def count_outputs(graph: str, operation: str) -> int:
    """How many arrays these operations give."""
    nodes = re.findall(rf'(\d+) \[label ?= ?"{operation}"', graph)
    return sum(len(re.findall(rf'^{node} -> "', graph, re.MULTILINE)) for node in set(nodes))


@pytest.fixture
def plain_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_native", None)


@pytest.mark.usefixtures("plain_mlx")
@pytest.mark.parametrize("name", ENCODERS)
def test_the_backward_pass_has_no_product_for_frozen_weights(name: str) -> None:
    tokens = make_rows([9, 4])
    full = count(gradient_graph(make_model(name, None), tokens))["Matmul"]
    preset = create_lora_config("efficient")
    model = make_model(name, "efficient")
    adapted = count(gradient_graph(model, tokens))["Matmul"]
    layers = SIZES["num_hidden_layers"]
    # Of each fused layer: A and B forward, dA, dB and the way back through both; none through A in layer 0, whose
    # input nothing trained feeds.
    adapters = layers * (2 + 2 + 2) - 1
    # Saved: dW of every frozen layer, and in layer 0 dX of the adapted one.
    assert preset.target_modules == ("query", "value")
    assert adapted == full + adapters - LINEAR - 1


@pytest.mark.native
@pytest.mark.parametrize("name", ENCODERS)
def test_the_kernels_give_no_gradient_of_frozen_weights(name: str) -> None:
    if not kernels.is_native():
        pytest.skip("needs the native kernels")
    tokens, layers = as_packed(make_rows([9, 4])), SIZES["num_hidden_layers"]
    full = count_outputs(gradient_graph(make_model(name, None), tokens), "LinearGradient")
    adapted = count_outputs(gradient_graph(make_model(name, "efficient"), tokens), "LinearGradient")
    # A full layer gives dX, dW and with a bias db; a frozen one dX alone, and the first not even that. A and B give
    # dX and dW, but for A of the first layer, below which nothing is trained.
    of_full = LINEAR * (3 if name == "bert" else 2)
    assert adapted == full - of_full + (LINEAR - 1) + layers * (2 + 2) - 1


def all_gradients(model: BertWithHead, tokens: Any) -> Any:
    def loss(parameters: Any) -> mx.array:
        model.update(parameters)
        return mx.square(model(tokens)).sum()

    return mx.grad(loss)(model.trainable_parameters())


@pytest.mark.parametrize("preset", LORA_PRESETS)
def test_the_optimizer_keeps_moments_of_what_is_trained_alone(preset: str) -> None:
    model = make_model("bert", preset)
    moments = AdamW().create_moments(model.trainable_parameters())
    kept = {k for k, _ in tree_flatten(moments["m"])}
    assert kept == {k for k, _ in tree_flatten(model.trainable_parameters())}
    assert not any("base" in k or "embeddings" in k for k in kept)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("preset", ["balanced", "dora", "qlora_memory"])
def test_gradient_checkpointing_gives_the_same_gradients(name: str, preset: str) -> None:
    tokens = make_rows([9, 4])
    model = make_model(name, preset)
    for _, module in model.named_modules():
        if "lora_b" in module:
            module.lora_b = mx.random.normal(module.lora_b.shape) / 5
        if hasattr(module, "dropout_rate"):
            module.dropout_rate = 0.0
    model.head.eval()
    plain = dict(tree_flatten(all_gradients(model, tokens)))
    model.encoder.gradient_checkpointing = True
    again = dict(tree_flatten(all_gradients(model, tokens)))
    for key, gradient in plain.items():
        if float(mx.abs(gradient).max()) > 1e-6:
            assert largest_difference(again[key], gradient) < 10 * LAYOUT, key


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
@pytest.mark.parametrize("preset", ["balanced", "dora", "qlora_memory"])
def test_a_compiled_step_learns_as_an_uncompiled_one_and_knows_its_mode(preset: str) -> None:
    tokens, labels = make_rows([9, 4]), mx.array([0, 1])
    losses = {}
    for use_compilation in (False, True):
        model = make_model(
            "bert", preset, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        optimizer = AdamW()
        moments = optimizer.create_moments(model.trainable_parameters())
        step = make_train_step(model, optimizer, use_compilation=use_compilation)
        losses[use_compilation] = []
        for number in range(1, 4):
            model.eval()
            mx.eval(model(tokens))  # an evaluation between steps changes nothing
            model.train()
            mx.random.seed(number)
            result = step(
                model.trainable_parameters(),
                moments,
                [Batch(tokens, labels, mx.arange(2))],
                1e-2,
                number,
            )
            model.update(result.parameters)
            moments = result.moments
            mx.eval(result)
            losses[use_compilation].append(float(result.loss))
    assert losses[True] == pytest.approx(losses[False], rel=1e-4)
    assert losses[True][-1] < losses[True][0]
