"""quantized_linear and int8_linear against f64 products of the weights that they stand for."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.native import reference
from tests.native.harness import (
    TOKENS,
    TOLERANCES,
    assert_close,
    both_types,
    draw,
    f64,
    needs_native,
    vjp,
)
from tests.tolerances import KERNEL_INT8

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native


@both_types
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_quantized_linear_is_the_product_with_mlx_dequantized_weight(
    group_size: int, bits: int, dtype: mx.Dtype
) -> None:
    for tokens in (0, *TOKENS):
        width = 384
        weight, bias = draw(34, width, seed=1, scale=width**-0.5), draw(34, seed=2)
        quantized = mx.quantize(weight, group_size=group_size, bits=bits)
        dense = f64(mx.dequantize(*quantized, group_size=group_size, bits=bits))
        x = draw(tokens, width, dtype=dtype)
        ours, (dx, dbias), (dy,) = vjp(
            lambda x, b, q=quantized: native.quantized_linear(
                x, *q, b, group_size=group_size, bits=bits
            ),
            [x, bias],
        )
        y, backward = reference.linear(f64(x), dense, f64(bias), "none")
        wanted = backward(f64(dy))
        assert_close(ours[0], y, TOLERANCES[dtype], f"{tokens}")
        assert_close(dx, wanted[0], TOLERANCES[dtype], f"{tokens} dx")
        assert_close(dbias, wanted[2], TOLERANCES[dtype], f"{tokens} dbias")


def test_a_quantized_weight_has_no_gradient() -> None:
    quantized = mx.quantize(draw(32, 64), group_size=32, bits=8)

    def loss(scales: mx.array) -> mx.array:
        weight, _, biases = quantized
        y = native.quantized_linear(draw(3, 64), weight, scales, biases, group_size=32, bits=8)
        return y.sum()

    with pytest.raises(ValueError, match="no gradient for its quantized weight"):
        mx.grad(loss)(quantized[1])


@both_types
@pytest.mark.parametrize("width", [8, 50, 257, 384])
@pytest.mark.parametrize("activation", ["none", "gelu", "geglu", "swiglu"])
def test_int8_linear(activation: str, width: int, dtype: mx.Dtype) -> None:
    for tokens in (0, *TOKENS):
        x = draw(tokens, width, dtype=dtype)
        weight, bias = draw(66, width, seed=1, scale=width**-0.5), draw(66, seed=2, scale=0.1)
        packed = native.pack_int8(weight, activation)
        ours = native.int8_linear(x, packed, 66, bias, activation)
        wanted, _ = reference.linear(f64(x), f64(weight), f64(bias), activation)
        assert ours.dtype == dtype
        assert_close(ours, wanted, KERNEL_INT8, f"{tokens} x {width}")


def test_int8_takes_rows_and_weights_of_zeros() -> None:
    weight = np.array(draw(10, 50))
    weight[3] = 0
    x = np.array(draw(4, 50, seed=1))
    x[2] = 0
    ours = np.array(native.int8_linear(mx.array(x), native.pack_int8(mx.array(weight)), 10))
    assert np.array_equal(ours[2], np.zeros(10))
    assert np.array_equal(ours[:, 3], np.zeros(4))
    assert_close(mx.array(ours), x.astype(np.float64) @ weight.T.astype(np.float64), KERNEL_INT8)
