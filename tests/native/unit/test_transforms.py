"""grad, value_and_grad, vjp, compile, checkpoint, streams and async_eval all give the plain result."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from bert_playground.training.core.step import can_compile
from tests.native.harness import draw, needs_native

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
compiles = pytest.mark.skipif(not can_compile(), reason="mx.compile needs g++ on a Linux CPU")
HEADS, SIZE = 2, 16
WIDTH = HEADS * SIZE
STARTS = mx.array([0, 5, 5, 19], dtype=mx.int32)
IDS, LABELS = mx.arange(19) % 7, mx.arange(19) % 5
KEY = mx.random.key(3)


def make_parameters() -> dict[str, mx.array]:
    shapes = {
        "table": (7, WIDTH),
        "qkv": (3 * WIDTH, WIDTH),
        "up": (48, WIDTH),
        "down": (WIDTH, 24),
        "gain": (WIDTH,),
        "bias": (WIDTH,),
        "classifier": (5, WIDTH),
    }
    return {
        name: draw(*shape, seed=seed, scale=0.3)
        for seed, (name, shape) in enumerate(shapes.items())
    }


def layer(parameters: dict[str, mx.array], x: mx.array, key: mx.array) -> mx.array:
    qkv = native.linear(x, parameters["qkv"])
    attended = native.attention(qkv, STARTS, HEADS, half_window=4, dropout=0.1, seed=key)
    normed, x = native.add_norm(
        attended, x, parameters["gain"], parameters["bias"], eps=1e-5, dropout=0.1, seed=key
    )
    inner = native.linear(normed, parameters["up"], None, "geglu")
    return x + native.dropout(native.linear(inner, parameters["down"]), 0.1, key)


def loss_of(
    parameters: dict[str, mx.array], dtype: mx.Dtype = mx.float32, through: Any = layer
) -> mx.array:
    """Every differentiable operation in one small model."""
    x = native.embedding(parameters["table"], IDS, dtype)
    x = through(parameters, x, KEY)
    x = native.norm(native.activation(x, "gelu"), parameters["gain"], eps=1e-5, rms=True)
    pooled = native.sequence_sum(x, STARTS)
    losses = native.cross_entropy(native.linear(x, parameters["classifier"]), LABELS)
    return losses.mean() + mx.square(pooled).mean()


def assert_same(ours: Any, wanted: Any) -> None:
    mx.eval(ours, wanted)
    for name, array in wanted[1].items():
        assert mx.array_equal(ours[1][name], array), name
    assert float(ours[0]) == float(wanted[0])


plain = mx.value_and_grad(loss_of)


def test_grad_is_value_and_grad() -> None:
    parameters = make_parameters()
    value, gradients = plain(parameters)
    assert_same((value, mx.grad(loss_of)(parameters)), (value, gradients))
    assert_same((loss_of(parameters), gradients), (value, gradients))


def test_gradients_agree_with_finite_differences() -> None:
    parameters = make_parameters()
    _, gradients = plain(parameters)
    for name, gradient in gradients.items():
        direction = draw(*gradient.shape, seed=50)
        direction = direction / mx.linalg.norm(direction)
        step = 1e-2
        ahead, behind = (
            loss_of(parameters | {name: parameters[name] + sign * step * direction})
            for sign in (1, -1)
        )
        slope = float(ahead - behind) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-2, abs=2e-3), name


@compiles
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
def test_compiled_is_plain(dtype: mx.Dtype) -> None:
    parameters = make_parameters()

    def function(parameters: dict[str, mx.array]) -> Any:
        return mx.value_and_grad(loss_of)(parameters, dtype)

    wanted, ours = function(parameters), mx.compile(function)(parameters)
    mx.eval(wanted, ours)
    assert float(ours[0]) == pytest.approx(float(wanted[0]), rel=1e-6)
    for name, gradient in wanted[1].items():
        # The compiler fuses MLX's own sums around the kernels, and thereby rounds less.
        assert np.allclose(
            ours[1][name], gradient, rtol=1e-2 if dtype == mx.bfloat16 else 1e-5, atol=1e-5
        ), name


@compiles
def test_each_operation_compiled_alone_gives_the_same_bits() -> None:
    parameters = make_parameters()
    x = draw(19, WIDTH)

    def attend(x: mx.array, weight: mx.array) -> mx.array:
        return native.attention(native.linear(x, weight), STARTS, HEADS)

    for function, arguments in (
        (attend, (x, parameters["qkv"])),
        (lambda x, w: native.linear(x, w, None, "swiglu"), (x, parameters["up"])),
        (lambda x, w: native.add_norm(x, x, w, eps=1e-5), (x, parameters["gain"])),
        (lambda x: native.sequence_sum(native.activation(x, "gelu"), STARTS), (x,)),
    ):
        wanted, ours = function(*arguments), mx.compile(function)(*arguments)
        again = mx.compile(function)(*arguments)
        for a, b, c in zip(*map(_as_list, (ours, wanted, again)), strict=True):
            assert mx.array_equal(a, b)
            assert mx.array_equal(c, b)


@compiles
def test_a_compiled_graph_serves_new_values() -> None:
    compiled = mx.compile(lambda ids, table: native.embedding(table, ids, mx.float32))
    table = draw(9, 8)
    for ids in (mx.array([1, 2]), mx.array([8, 0])):
        assert mx.array_equal(compiled(ids, table), table[ids])


@compiles
def test_shapeless_compilation_follows_new_shapes() -> None:
    weight, gain = draw(24, WIDTH, scale=0.2), draw(WIDTH)

    def function(x: mx.array) -> mx.array:
        normed = native.norm(x, gain, eps=1e-5)
        return native.linear(normed, weight, None, "geglu")

    compiled = mx.compile(function, shapeless=True)
    for tokens in (3, 17):
        x = draw(tokens, WIDTH)
        assert mx.array_equal(compiled(x), function(x))


def test_checkpointed_is_plain() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            parameters = make_parameters()
            self.weights = {
                name: parameters[name] for name in ("qkv", "up", "down", "gain", "bias")
            }

        def __call__(self, x: mx.array) -> mx.array:
            return layer(self.weights, x, KEY)

    block = Block()
    x = draw(19, WIDTH)

    def run(weights: Any, call: Any) -> mx.array:
        block.update({"weights": weights})
        return mx.square(call(x)).sum()

    original = block.parameters()["weights"]
    wanted = mx.value_and_grad(lambda w: run(w, block))(original)
    ours = mx.value_and_grad(lambda w: run(w, nn.utils.checkpoint(block)))(original)
    assert_same(ours, wanted)
    recomputed = mx.value_and_grad(lambda p: loss_of(p, mx.float32, mx.checkpoint(layer)))
    assert_same(recomputed(make_parameters()), plain(make_parameters()))


def test_integer_inputs_get_zeros() -> None:
    x, table = draw(19, 3 * WIDTH), draw(7, WIDTH)
    for function, arguments in (
        (lambda x, starts: native.attention(x, starts, HEADS), (x, STARTS)),
        (lambda x, starts: native.sequence_sum(x, starts), (x, STARTS)),
        (lambda table, ids: native.embedding(table, ids, mx.float32), (table, IDS)),
        (native.cross_entropy, (draw(19, 5), LABELS)),
    ):
        out = function(*arguments)
        _, gradients = mx.vjp(lambda *a, f=function: [f(*a)], list(arguments), [mx.ones_like(out)])
        assert not np.array(gradients[1]).any()


def test_another_stream_gives_the_same() -> None:
    wanted = plain(make_parameters())
    mx.eval(wanted)
    with mx.stream(mx.new_stream(mx.cpu)):
        assert_same(plain(make_parameters()), wanted)


def test_two_streams_at_once() -> None:
    streams = [mx.new_stream(mx.cpu) for _ in range(2)]
    wanted = plain(make_parameters())
    mx.eval(wanted)
    for _ in range(10):
        results = []
        for stream in streams:
            with mx.stream(stream):
                results.append(plain(make_parameters()))
        mx.async_eval(*results)
        for result in results:
            assert_same(result, wanted)


def test_async_eval_gives_the_same() -> None:
    wanted = plain(make_parameters())
    mx.eval(wanted)
    results = [plain(make_parameters()) for _ in range(5)]
    for result in results:
        mx.async_eval(result)
    for result in results:
        assert_same(result, wanted)


def test_second_derivatives_are_refused() -> None:
    def slope(x: mx.array) -> mx.array:
        return mx.grad(lambda x: native.activation(x, "gelu").sum())(x).sum()

    with pytest.raises(ValueError, match=r"vjp|Not implemented"):
        mx.grad(slope)(draw(4))


def test_vmap_is_refused() -> None:
    with pytest.raises(ValueError, match=r"[Vv]map"):
        mx.eval(mx.vmap(lambda x: native.activation(x, "gelu"))(draw(4, 8)))


def _as_list(result: Any) -> list[mx.array]:
    return list(result) if isinstance(result, tuple) else [result]
