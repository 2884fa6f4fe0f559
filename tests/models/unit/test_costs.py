"""Costs counted from shapes: against the published sizes, a count by hand and a measured training step."""

import gc
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bert_playground import kernels
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.costs import measure_costs, seen_keys
from bert_playground.models.factory import create_model
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.models.tokenwise import named_parameters
from bert_playground.tokens import Tokens

MILLION = 1e6


def make_sketch(name: str, **options: Any) -> nn.Module:
    """A model whose weights are never computed, so that published sizes cost nothing."""
    return create_model(name, "multiclass", 3, **options)


# Of the published sizes, in MFLOP per token: matrices once, attention at each length.
PUBLISHED = [
    ("bert", 169.9, {64: 2.4, 128: 4.7, 512: 18.9}),
    ("modernbert", 220.6, {64: 4.3, 128: 7.3, 512: 17.8, 2048: 55.8, 8192: 207}),
    ("neobert", 396.4, {64: 5.5, 512: 44.0, 2048: 176}),
]


@pytest.mark.parametrize(
    ("name", "matrices", "length", "attention"),
    [(name, most, length, flops) for name, most, at in PUBLISHED for length, flops in at.items()],
)
def test_published_sizes_have_their_known_flops(
    name: str, matrices: float, length: int, attention: float
) -> None:
    costs = measure_costs(make_sketch(name), length)
    layers = sum(layer.flops for layer in costs.layers) / MILLION
    assert layers == pytest.approx(matrices + attention, rel=2e-3)
    assert costs.flops == pytest.approx(layers * MILLION + costs.head_flops / length)


def test_bert_base_has_its_known_parameters() -> None:
    costs = measure_costs(make_sketch("bert"), 128)
    # 109,482,240 with the pooler, as published.
    assert costs.parameters - 3 * 769 == 109_482_240
    assert costs.parts["embeddings"] == (30522 + 512 + 2) * 768 + 2 * 768
    assert costs.parts["head"] == 768 * 768 + 768 + 3 * 769


@pytest.mark.parametrize("name", ENCODERS)
def test_parts_add_up_to_all_parameters(name: str) -> None:
    model = make_sketch(
        name, num_hidden_layers=3, hidden_size=64, num_attention_heads=4, vocab_size=100
    )
    costs = measure_costs(model, 16)
    assert costs.parameters == sum(value.size for value in named_parameters(model).values())
    assert len(costs.layers) == 3


@pytest.mark.parametrize("length", [1, 2, 5, 9, 20])
@pytest.mark.parametrize("half_window", [None, 1, 4, 30])
def test_seen_keys_are_the_mean_of_a_count(length: int, half_window: int | None) -> None:
    distance = np.abs(np.arange(length)[:, None] - np.arange(length)[None])
    visible = distance <= (length if half_window is None else half_window)
    assert seen_keys(length, half_window) == pytest.approx(visible.sum(axis=1).mean())


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_weights_count_as_what_they_stand_for(bits: int) -> None:
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "vocab_size": 100}
    full = measure_costs(make_sketch("bert", **sizes, num_attention_heads=4), 16)
    model = make_sketch("bert", **sizes, num_attention_heads=4)
    assert measure_costs(quantize_model(model, bits=bits, group_size=32), 16) == full


@pytest.fixture
def empty_cache() -> Iterator[None]:
    mx.clear_cache()
    yield
    mx.clear_cache()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_estimate_of_activations_is_near_a_measured_step(name: str, empty_cache: None) -> None:
    length = 32
    model = create_model(
        name,
        "binary",
        2,
        vocab_size=50,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=length,
    ).train()
    mx.eval(model.parameters())

    def peak(num_rows: int) -> int:
        ids = mx.array(np.random.default_rng(0).integers(0, 50, (num_rows, length)))
        tokens = Tokens(ids)
        if kernels.is_native():
            ends = mx.arange(0, num_rows * length + 1, length).astype(mx.int32)
            tokens = Tokens(ids.reshape(-1), None, ends)
        labels = mx.zeros(num_rows, dtype=mx.int32)
        step = nn.value_and_grad(model, lambda model: model.head.loss(model(tokens), labels))
        gc.collect()
        peaks = []
        # MLX allocates ahead of what its thread computes by as much as the machine's load lets it.
        for _ in range(5):
            mx.clear_cache()
            mx.reset_peak_memory()
            before = mx.get_active_memory()
            mx.eval(step(model))
            peaks.append(mx.get_peak_memory() - before)
        return max(peaks)

    peak(8)
    measured = (peak(96) - peak(48)) / (48 * length)
    estimated = 4 * measure_costs(model, length).step_values
    assert 0.4 < measured / estimated < 2
