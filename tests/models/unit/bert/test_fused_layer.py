"""A layer is one operation where it can be, and its parts give the same where it cannot."""

from collections import Counter
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from bert_playground import kernels
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.models.tokenwise import Linear, prepack_weights
from tests.models.layouts import as_packed
from tests.models.tiny import make_encoder, make_rows

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(not kernels.is_native(), reason="the native kernels are not installed"),
]
TOKENS = as_packed(make_rows([5, 1, 30, 3]))


class OtherLinear(Linear):
    """Computes the same, but is of a kind of its own, as adapted layers are."""


def count_layers(hidden: mx.array, folder: Path) -> int:
    """How many layers are one operation in what computes `hidden`."""
    path = folder / "graph.dot"
    mx.export_to_dot(str(path), hidden)
    return path.read_text(encoding="utf-8").count('"EncoderLayer"')


def make_packed(name: str, packing: mx.Dtype = mx.float32, **options: Any) -> Any:
    encoder = make_encoder(name, **options)
    encoder.dtype = mx.float32 if packing == mx.int8 else packing
    prepack_weights(encoder, packing)
    return encoder


def parts_of(encoder: Any) -> list[Linear]:
    return [part for part in encoder.modules() if isinstance(part, Linear)]


@pytest.mark.parametrize("packing", [mx.float32, mx.bfloat16, mx.int8], ids=["f32", "bf16", "int8"])
@pytest.mark.parametrize("name", ENCODERS)
def test_layers_are_one_operation_each_and_their_parts_give_the_same(
    name: str, packing: mx.Dtype, tmp_path: Path
) -> None:
    encoder = make_packed(name, packing)
    fused = encoder.encode(TOKENS)
    assert count_layers(fused, tmp_path) == len(encoder.layers)
    for part in parts_of(encoder):
        part.__class__ = OtherLinear
    in_parts = encoder.encode(TOKENS)
    assert count_layers(in_parts, tmp_path) == 0
    assert mx.array_equal(fused, in_parts)


@pytest.mark.parametrize("name", ENCODERS)
def test_one_part_of_another_kind_leaves_its_layer_to_the_parts(name: str, tmp_path: Path) -> None:
    encoder = make_packed(name)
    wanted = encoder.encode(TOKENS)
    encoder.layers[1].feed_forward.down.__class__ = OtherLinear
    mixed = encoder.encode(TOKENS)
    assert count_layers(mixed, tmp_path) == len(encoder.layers) - 1
    assert mx.array_equal(mixed, wanted)


def test_what_is_not_packed_or_in_training_or_activated_otherwise_is_left_to_the_parts(
    tmp_path: Path,
) -> None:
    cases = [make_encoder("bert"), make_packed("bert").train()]
    cases.append(make_packed("bert", hidden_act="relu"))
    for encoder in cases:
        assert count_layers(encoder.encode(TOKENS), tmp_path) == 0


def test_who_watches_layers_sees_each_of_them() -> None:
    encoder = make_packed("modernbert")
    seen: Counter[tuple[int, ...]] = Counter()
    encoder.watch_layer = lambda hidden: seen.update([hidden.shape])
    hidden = encoder.encode(TOKENS)
    assert seen == {hidden.shape: len(encoder.layers)}


def test_gradients_in_evaluation_reach_the_embeddings() -> None:
    encoder = make_encoder("bert")

    def loss(words: mx.array) -> mx.array:
        encoder.embeddings.words.weight = words
        return encoder.encode(TOKENS).square().sum()

    words = encoder.embeddings.words.weight
    gradient = mx.grad(loss)(words)
    encoder.embeddings.words.weight = words
    assert float(mx.abs(gradient).max()) > 0
