"""Strided, unaligned, denormal and NaN inputs give what plain ones give; wrong shapes and values are named."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.native.harness import TOLERANCES, assert_close, both_types, draw, f64, needs_native, vjp

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
TOKENS, WIDTH = 12, 48
STARTS = mx.array([0, 5, 12], dtype=mx.int32)
Arguments = list[mx.array]


def arguments_of(name: str, dtype: mx.Dtype) -> Arguments:
    """Floating-point arguments alone; activations first."""
    x = draw(TOKENS, WIDTH, dtype=dtype)
    weight, gain = draw(WIDTH, WIDTH, seed=1, scale=WIDTH**-0.5), draw(WIDTH, seed=2)
    return {
        "linear": [x, weight, gain],
        "swiglu": [x, weight, gain],
        "norm": [x, gain, draw(WIDTH, seed=3)],
        "add_norm": [x, draw(TOKENS, WIDTH, seed=4, dtype=dtype), gain],
        "attention": [x],
        "gelu": [x],
        "geglu": [x],
        "dropout": [x],
        "embedding": [weight],
        "sequence_sum": [x],
        "cross_entropy": [x],
    }[name]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "linear": lambda x, w, b: native.linear(x, w, b, "gelu"),
    "swiglu": lambda x, w, b: native.linear(x, w, b, "swiglu"),
    "norm": lambda x, w, b: native.norm(x, w, b, eps=1e-5),
    "add_norm": lambda x, r, w: native.add_norm(x, r, w, eps=1e-5, rms=True),
    "attention": lambda x: native.attention(x, STARTS, 2),
    "gelu": lambda x: native.activation(x, "gelu"),
    "geglu": lambda x: native.activation(x, "geglu"),
    "dropout": lambda x: native.dropout(x, 0.3, mx.random.key(0)),
    "embedding": lambda t: native.embedding(t, mx.array([3, 0, 3, 47]), mx.float32),
    "sequence_sum": lambda x: native.sequence_sum(x, STARTS),
    "cross_entropy": lambda x: native.cross_entropy(x, mx.arange(TOKENS)),
}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


def transposed(array: mx.array) -> mx.array:
    copy = mx.contiguous(array.T)
    mx.eval(copy)
    return copy.T


def sliced(array: mx.array) -> mx.array:
    """A view into the middle of something larger, along every axis."""
    large = np.full([size + 7 for size in array.shape], np.nan, dtype=np.float32)
    large[tuple(slice(3, 3 + size) for size in array.shape)] = f64(array)
    view = mx.array(large).astype(array.dtype)
    mx.eval(view)
    return view[tuple(slice(3, 3 + size) for size in array.shape)]


def backwards(array: mx.array) -> mx.array:
    """Negative strides."""
    copy = mx.contiguous(array[::-1])
    mx.eval(copy)
    return copy[::-1]


def unaligned(array: mx.array) -> mx.array:
    """Dense, but starting one element behind a boundary."""
    flat = mx.concatenate([mx.zeros(1, dtype=array.dtype), array.reshape(-1)])
    mx.eval(flat)
    return flat[1:].reshape(array.shape)


@both_types
@every_operation
@pytest.mark.parametrize("change", [transposed, sliced, backwards, unaligned])
def test_layout_in_memory_does_not_matter(
    change: Callable[[mx.array], mx.array], name: str, dtype: mx.Dtype
) -> None:
    plain = arguments_of(name, dtype)
    changed = [change(argument) for argument in plain]
    outputs, gradients, _ = vjp(OPERATIONS[name], plain)
    other_outputs, other_gradients, _ = vjp(OPERATIONS[name], changed)
    for ours, wanted in zip(
        [*other_outputs, *other_gradients], [*outputs, *gradients], strict=True
    ):
        assert mx.array_equal(ours, wanted)


def test_broadcast_inputs_and_strided_cotangents() -> None:
    row = mx.broadcast_to(draw(WIDTH), (TOKENS, WIDTH))
    weight = draw(20, WIDTH, seed=1)
    dy = transposed(draw(TOKENS, 20, seed=2))
    (y,), (dx,) = mx.vjp(lambda x: [native.linear(x, weight)], [row], [dy])
    assert_close(y, f64(row) @ f64(weight).T, TOLERANCES[mx.float32])
    assert_close(dx, f64(dy) @ f64(weight), TOLERANCES[mx.float32])


def test_strided_indices() -> None:
    starts = mx.array([0, 99, 5, 99, 12], dtype=mx.int32)[::2]
    x = draw(TOKENS, WIDTH)
    assert mx.array_equal(native.attention(x, starts, 2), native.attention(x, STARTS, 2))
    ids = mx.array([[1, 2], [3, 4], [5, 6]])
    table = draw(8, 16)
    assert mx.array_equal(native.embedding(table, ids.T, mx.float32), table[ids.T])


@both_types
@pytest.mark.parametrize(
    "name", ["linear", "swiglu", "norm", "add_norm", "gelu", "geglu", "dropout", "cross_entropy"]
)
def test_a_nan_stays_in_its_token(name: str, dtype: mx.Dtype) -> None:
    arguments = arguments_of(name, dtype)
    operation = (
        OPERATIONS[name]
        if name != "dropout"
        else lambda x: native.dropout(x, 0.1, mx.random.key(3))
    )
    clean = operation(*arguments)
    values = np.array(arguments[0].astype(mx.float32))
    values[7, :] = np.nan
    poisoned = operation(mx.array(values).astype(dtype), *arguments[1:])
    for ours, wanted in zip(_as_list(poisoned), _as_list(clean), strict=True):
        ours, wanted = f64(ours), f64(wanted)
        others = np.arange(TOKENS) != 7
        assert np.array_equal(ours[others], wanted[others])
        where = np.isnan(ours[7])
        assert where.mean() > 0.7 if name == "dropout" else where.all()


@both_types
def test_a_nan_in_a_weight_or_a_gradient_is_not_swallowed(dtype: mx.Dtype) -> None:
    weight = np.array(draw(16, 8))
    weight[5, 2] = np.nan
    y = f64(native.linear(draw(3, 8, dtype=dtype), mx.array(weight), None, "gelu"))
    assert np.isnan(y[:, 5]).all()
    assert np.isfinite(np.delete(y, 5, axis=1)).all()
    packed = native.pack(mx.array(weight), dtype, "gelu")
    assert np.isnan(
        f64(native.packed_linear(draw(3, 8, dtype=dtype), packed, 16, None, "gelu"))[:, 5]
    ).all()
    bad = mx.array([1.0, float("nan")]).astype(dtype)
    assert np.isnan(float(native.square_sum(bad)))
    updated = native.adamw(
        [mx.ones(2)], [bad], [mx.zeros(2)], [mx.zeros(2)], mx.array(0.1), mx.array(1.0), mx.array(1.0),
        beta1=0.9, beta2=0.9, eps=1e-8, weight_decay=[0.0],
    )  # fmt: skip
    assert [np.isnan(a).tolist() for (a,) in updated] == [[False, True]] * 3


@every_operation
def test_denormals_are_as_good_as_zero(name: str) -> None:
    arguments = arguments_of(name, mx.float32)
    tiny = [mx.array(np.full(arguments[0].shape, 1e-40, dtype=np.float32)), *arguments[1:]]
    zeros = [mx.zeros(arguments[0].shape), *arguments[1:]]
    for ours, wanted in zip(
        vjp(OPERATIONS[name], tiny)[0], vjp(OPERATIONS[name], zeros)[0], strict=True
    ):
        assert np.allclose(ours, wanted, rtol=0, atol=1e-30)


def test_flushing_denormals_ends_with_the_kernel() -> None:
    mx.eval(native.linear(draw(300, 300), draw(300, 300)))
    # The same thread computes this next.
    assert float(mx.array([4e-40]) * mx.array([0.5])) > 0


def _as_list(result: Any) -> list[mx.array]:
    return list(result) if isinstance(result, tuple) else [result]
