"""linear and packed_linear against f64: odd sizes, every activation, only the gradients that are asked for."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.native import reference
from tests.native.harness import (
    TOKENS,
    TOLERANCES,
    WIDTHS,
    assert_close,
    both_types,
    draw,
    f64,
    needs_native,
    vjp,
)

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
ACTIVATIONS = ("none", "gelu", "geglu", "swiglu")


@both_types
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_gradients(activation: str, width: int, dtype: mx.Dtype) -> None:
    for tokens in TOKENS:
        for outputs, has_bias in ((34, True), (8, False), (130, True)):
            x = draw(tokens, width, dtype=dtype)
            weight = draw(outputs, width, seed=1, dtype=dtype, scale=width**-0.5).astype(mx.float32)
            bias = draw(outputs, seed=2) if has_bias else None
            arguments = [x, weight, *([bias] if has_bias else [])]
            ours, gradients, (dy,) = vjp(
                lambda x, w, b=None: native.linear(x, w, b, activation), arguments
            )
            y, backward = reference.linear(
                *(f64(a) for a in arguments), *([] if has_bias else [None]), activation
            )
            what = f"{tokens} x {width} -> {outputs} {activation}"
            assert ours[0].dtype == dtype
            assert_close(ours[0], y, TOLERANCES[dtype], what)
            for name, gradient, wanted in zip("xwb", gradients, backward(f64(dy)), strict=False):
                assert_close(gradient, wanted, TOLERANCES[dtype], f"{what} d{name}")


@both_types
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_packed_weights_give_the_same(activation: str, width: int, dtype: mx.Dtype) -> None:
    for tokens in (0, *TOKENS):
        x = draw(tokens, width, dtype=dtype)
        weight, bias = draw(66, width, seed=1, scale=width**-0.5), draw(66, seed=2)
        packed = native.pack(weight, dtype, activation)
        ours = native.packed_linear(x, packed, 66, bias, activation)
        wanted, _ = reference.linear(f64(x), f64(weight), f64(bias), activation)
        assert ours.dtype == dtype
        assert_close(ours, wanted, TOLERANCES[dtype], f"{tokens} x {width}")


@both_types
def test_weights_may_be_bf16(dtype: mx.Dtype) -> None:
    x, weight = draw(33, 50, dtype=dtype), draw(20, 50, seed=1, dtype=mx.bfloat16)
    ours, gradients, (dy,) = vjp(native.linear, [x, weight])
    y, backward = reference.linear(f64(x), f64(weight), None, "none")
    assert gradients[1].dtype == mx.bfloat16
    for array, wanted in zip([*ours, *gradients], [y, *backward(f64(dy))], strict=True):
        assert_close(array, wanted, TOLERANCES[array.dtype])


@both_types
def test_leading_dimensions_and_no_tokens(dtype: mx.Dtype) -> None:
    weight = draw(12, 8, seed=1)
    x = draw(2, 3, 8, dtype=dtype)
    flat = native.linear(x.reshape(6, 8), weight)
    assert mx.array_equal(native.linear(x, weight).reshape(6, 12), flat)
    assert mx.array_equal(native.linear(x[0, 0], weight), flat[0])
    ours, gradients, _ = vjp(native.linear, [draw(0, 8, dtype=dtype), weight])
    assert ours[0].shape == (0, 12)
    assert gradients[0].shape == (0, 8)
    assert np.array_equal(gradients[1], np.zeros((12, 8)))


@pytest.mark.parametrize("wanted", [0, 1, 2, (0, 2), (1, 2)])
@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_each_gradient_can_be_asked_for_alone(activation: str, wanted: Any) -> None:
    arguments = [draw(33, 50), draw(20, 50, seed=1), draw(20, seed=2)]

    def loss(*arguments: mx.array) -> mx.array:
        return mx.square(native.linear(*arguments, activation)).sum()

    every = mx.grad(loss, argnums=(0, 1, 2))(*arguments)
    some = mx.grad(loss, argnums=wanted)(*arguments)
    if isinstance(wanted, int):
        wanted, some = (wanted,), (some,)
    for position, gradient in zip(wanted, some, strict=True):
        assert mx.array_equal(gradient, every[position])


def test_a_frozen_weight_costs_no_weight_gradient() -> None:
    # The gradient of this weight would be 16 MB, all else is small.
    x, weight = draw(2, 2048), mx.ones((2048, 2048))
    mx.eval(x, weight)

    def peak(*argnums: int) -> int:
        gradients = mx.grad(lambda x, w: native.linear(x, w).sum(), argnums=argnums)
        mx.eval(gradients(x, weight))
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(gradients(x, weight))
        return mx.get_peak_memory() - before

    assert peak(0) < 2**20
    assert peak(0, 1) >= 2**24
