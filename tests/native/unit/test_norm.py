"""norm and add_norm against f64, with and without bias, mean, residual and dropout."""

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
kinds = pytest.mark.parametrize(
    ("rms", "has_bias"),
    [(False, True), (False, False), (True, False)],
    ids=["bias", "no-bias", "rms"],
)


def gains(width: int, has_bias: bool) -> list[mx.array]:
    return [1 + draw(width, seed=2, scale=0.1), *([draw(width, seed=3)] if has_bias else [])]


@both_types
@pytest.mark.parametrize("width", [1, *WIDTHS])
@kinds
def test_norm(rms: bool, has_bias: bool, width: int, dtype: mx.Dtype) -> None:
    for tokens in TOKENS:
        arguments = [draw(tokens, width, dtype=dtype), *gains(width, has_bias)]
        ours, gradients, (dy,) = vjp(
            lambda x, w, b=None: native.norm(x, w, b, eps=1e-2, rms=rms), arguments
        )
        y, backward = reference.norm(
            *(f64(a) for a in arguments), *([] if has_bias else [None]), 1e-2, rms
        )
        what = f"{tokens} x {width}"
        # The one value of a row of one is its mean, so that nothing remains of it, nor of its gradients.
        scale = 1.0 if width > 1 or rms else 0.0
        assert_close(ours[0], y, TOLERANCES[dtype], what)
        for name, gradient, wanted in zip("xwb", gradients, backward(f64(dy)), strict=False):
            if scale or name == "b":
                assert_close(gradient, wanted, TOLERANCES[dtype], f"{what} d{name}")
            else:
                assert np.abs(f64(gradient)).max() < TOLERANCES[mx.float32]


@both_types
@pytest.mark.parametrize("width", WIDTHS)
@kinds
def test_add_norm(rms: bool, has_bias: bool, width: int, dtype: mx.Dtype) -> None:
    for tokens in TOKENS:
        x, residual = (draw(tokens, width, seed=seed, dtype=dtype) for seed in (0, 1))
        arguments = [x, residual, *gains(width, has_bias)]
        ours, gradients, (dy, dh) = vjp(
            lambda x, r, w, b=None: native.add_norm(x, r, w, b, eps=1e-5, rms=rms), arguments
        )
        h = f64(x) + f64(residual)
        y, backward = reference.norm(
            h, *(f64(a) for a in arguments[2:]), *([] if has_bias else [None]), 1e-5, rms
        )
        from_norm, *rest = backward(f64(dy))
        wanted = [from_norm + f64(dh)] * 2 + rest
        assert_close(ours[0], y, TOLERANCES[dtype], "y")
        assert_close(ours[1], h, TOLERANCES[dtype], "h")
        for name, gradient, value in zip(
            ("x", "residual", "w", "b"), gradients, wanted, strict=False
        ):
            assert_close(gradient, value, TOLERANCES[dtype], f"{tokens} x {width} d{name}")


@both_types
@pytest.mark.parametrize("used", ["y", "h"])
def test_add_norm_when_one_output_is_not_used(used: str, dtype: mx.Dtype) -> None:
    x, residual, weight = draw(7, 50, dtype=dtype), draw(7, 50, seed=1, dtype=dtype), mx.ones(50)

    def output(x: mx.array, residual: mx.array) -> mx.array:
        y, h = native.add_norm(x, residual, weight, eps=1e-5)
        return y if used == "y" else h

    _, gradients, (d,) = vjp(output, [x, residual])
    _, backward = reference.norm(f64(x) + f64(residual), np.ones(50), None, 1e-5, False)
    wanted = backward(f64(d))[0] if used == "y" else f64(d)
    for gradient in gradients:
        assert_close(gradient, wanted, TOLERANCES[dtype])


@both_types
@pytest.mark.parametrize("rms", [False, True])
def test_dropout_of_add_norm_is_one_mask_for_value_and_gradient(rms: bool, dtype: mx.Dtype) -> None:
    tokens, width, rate, key = 33, 257, 0.25, mx.random.key(4)
    x, residual = (draw(tokens, width, seed=seed, dtype=dtype) for seed in (0, 1))
    weight = gains(width, False)[0]

    def function(x: mx.array, residual: mx.array, weight: mx.array) -> Any:
        return native.add_norm(x, residual, weight, eps=1e-5, rms=rms, dropout=rate, seed=key)

    # With x = 1 and residual = 0, h is the mask itself.
    mask = f64(function(mx.ones((tokens, width)), mx.zeros((tokens, width)), weight)[1])
    assert np.allclose(np.unique(mask), [0, 1 / (1 - rate)])
    assert (mask == 0).mean() == pytest.approx(rate, abs=0.02)
    ours, gradients, (dy, dh) = vjp(function, [x, residual, weight])
    h = f64(residual) + f64(x) * mask
    y, backward = reference.norm(h, f64(weight), None, 1e-5, rms)
    from_norm, dweight = backward(f64(dy))
    stream = from_norm + f64(dh)
    for array, wanted in zip(
        [*ours, *gradients], [y, h, stream * mask, stream, dweight], strict=True
    ):
        assert_close(array, wanted, TOLERANCES[dtype])


def test_norm_of_large_and_constant_rows_stays_finite() -> None:
    x = mx.stack([mx.full((50,), 1e4), 1e4 + draw(50), draw(50) * 1e15])
    y, backward = reference.norm(f64(x), np.ones(50), np.zeros(50), 1e-5, False)
    ours, gradients, (dy,) = vjp(lambda x: native.norm(x, mx.ones(50), mx.zeros(50), eps=1e-5), [x])
    assert np.array_equal(ours[0][0], np.zeros(50))
    # 1e4 + values of 1 keeps four digits fewer of them.
    assert_close(ours[0][1], y[1], 1e-3)
    assert_close(ours[0][2], y[2], TOLERANCES[mx.float32])
    assert_close(gradients[0][1], backward(f64(dy))[0][1], 1e-2)
