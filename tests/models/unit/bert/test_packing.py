"""The padded call gives what the padded layers give, whichever way it takes."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from bert_playground import kernels
from bert_playground.models.bert.packing import known_values, pack_rows
from bert_playground.models.bert_with_head import ENCODERS
from bert_playground.tokens import Tokens
from tests.models.layouts import as_packed, real
from tests.models.tiny import largest_difference, make_encoder, make_rows
from tests.tolerances import GRADIENT, LAYOUT

every_encoder = pytest.mark.parametrize("name", ENCODERS)


def test_rows_are_packed_and_unpacked_with_zeros_at_padding() -> None:
    tokens = make_rows([5, 2, 3], 6)
    tokens = tokens._replace(token_type_ids=tokens.input_ids % 2)
    packed, unpack = pack_rows(tokens)
    expected = as_packed(tokens)
    for field in ("input_ids", "cu_seqlens", "token_type_ids"):
        assert mx.array_equal(getattr(packed, field), getattr(expected, field))
    hidden = mx.random.normal((10, 4))
    padded = unpack(hidden)
    assert padded.shape == (3, 6, 4)
    assert mx.array_equal(real(padded, tokens), hidden)
    assert not (padded * ~tokens.attention_mask[..., None]).any()


def test_full_rows_need_no_mask() -> None:
    packed, unpack = pack_rows(Tokens(mx.arange(6).reshape(2, 3)))
    assert packed.cu_seqlens.tolist() == [0, 3, 6]
    assert unpack(mx.ones((6, 4))).shape == (2, 3, 4)


@pytest.mark.parametrize(
    "mask", [[[0, 1, 1]], [[1, 0, 1]], [[0, 0, 0]]], ids=["left", "hole", "nothing"]
)
def test_padding_that_would_move_positions_is_left_to_the_padded_layers(
    mask: list[list[int]],
) -> None:
    assert pack_rows(Tokens(mx.array([[4, 5, 6]]), mx.array(mask))) is None


@every_encoder
@pytest.mark.parametrize("mask", ["right", "left", "hole", "none", "empty row"])
def test_the_padded_call_is_the_padded_layers(name: str, mask: str) -> None:
    encoder, tokens = make_encoder(name, max_position_embeddings=128), make_rows([110, 40])
    values = np.array(tokens.attention_mask)
    if mask == "left":
        values = values[:, ::-1].copy()
    if mask == "hole":
        values[0, 7] = False
    if mask == "empty row":
        values[1] = False
    if mask == "none":
        values = np.ones_like(values)
    seen = None if mask == "none" else mx.array(values)
    tokens = Tokens(tokens.input_ids, seen)
    called, layers = encoder(tokens.input_ids, seen), encoder.encode(tokens)
    assert bool(mx.isfinite(called).all())
    assert largest_difference(real(called, tokens), real(layers, tokens)) < LAYOUT


@every_encoder
def test_the_padded_call_can_be_compiled(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([20, 9])
    compiled = mx.compile(lambda ids, mask: encoder(ids, mask))
    hidden = compiled(tokens.input_ids, tokens.attention_mask)
    expected = encoder(tokens.input_ids, tokens.attention_mask)
    assert largest_difference(real(hidden, tokens), real(expected, tokens)) < LAYOUT


@every_encoder
def test_gradients_of_the_padded_call_are_those_of_the_padded_layers(name: str) -> None:
    encoder, tokens = make_encoder(name), make_rows([20, 9])

    def loss(parameters: dict, called: bool) -> mx.array:
        encoder.update(parameters)
        hidden = encoder(*tokens[:2]) if called else encoder.encode(tokens)
        return (mx.sin(hidden) * tokens.attention_mask[..., None]).sum()

    parameters = encoder.trainable_parameters()
    expected = dict(tree_flatten(mx.grad(loss)(parameters, False)))
    for parameter, gradient in tree_flatten(mx.grad(loss)(parameters, True)):
        assert largest_difference(gradient, expected[parameter]) < GRADIENT, parameter


@pytest.mark.skipif(not kernels.is_native(), reason="packs for the native kernels alone")
def test_the_padded_call_packs_for_the_native_kernels() -> None:
    tokens = make_rows([20, 9])
    hidden = make_encoder("bert")(tokens.input_ids, tokens.attention_mask)
    assert not hidden[1, 9:].any()


def test_the_values_of_an_array_are_unknown_while_it_is_traced() -> None:
    seen: list[object] = []

    def look(x: mx.array) -> mx.array:
        seen.append(known_values(x))
        return x + 1

    mx.eval(mx.compile(look)(mx.zeros(3)))
    assert seen == [None]
    assert known_values(mx.arange(3)).tolist() == [0, 1, 2]
