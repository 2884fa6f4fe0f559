"""Each kernel gives what its MLX form gives, forward and backward, whatever the shape."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import erf
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground import kernels, optimizer_kernels
from tests.tolerances import KERNEL, KERNEL_BF16

native = pytest.mark.skipif(not kernels.is_native(), reason="the native kernels are not installed")
both_types = pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
TOLERANCES = {mx.float32: KERNEL, mx.bfloat16: KERNEL_BF16}
Function = Callable[..., Any]


@contextmanager
def without_native() -> Iterator[None]:
    """Take the MLX form inside."""
    kept, kernels._native = kernels._native, None
    try:
        yield
    finally:
        kernels._native = kept


def draw(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def outputs_and_gradients(function: Function, arguments: list[mx.array]) -> list[mx.array]:
    """What the function returns, and the gradients of a random projection of it."""
    values = function(*arguments)
    values = values if isinstance(values, tuple) else (values,)
    cotangents = [
        draw(*value.shape, seed=i + 7).astype(value.dtype) for i, value in enumerate(values)
    ]

    def tupled(*arguments: mx.array) -> list[mx.array]:
        result = function(*arguments)
        return list(result) if isinstance(result, tuple) else [result]

    _, gradients = mx.vjp(tupled, arguments, cotangents)
    return [*values, *gradients]


def assert_same(function: Function, arguments: list[mx.array], tolerance: float) -> None:
    actual = outputs_and_gradients(function, arguments)
    with without_native():
        expected = outputs_and_gradients(function, arguments)
    for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        ours, theirs = ours.astype(mx.float32), theirs.astype(mx.float32)
        error = float(mx.abs(ours - theirs).max() / mx.abs(theirs).max())
        assert error <= tolerance, f"array {index} is off by {error:.1e}"


@native
@both_types
@pytest.mark.parametrize("activation", ["none", "gelu", "geglu", "swiglu"])
@pytest.mark.parametrize("shape", [(1, 8, 16), (37, 50, 66), (130, 64, 96)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear(activation: Any, shape: tuple[int, int, int], bias: bool, dtype: mx.Dtype) -> None:
    tokens, inputs, outputs = shape
    arguments = [draw(tokens, inputs).astype(dtype), draw(outputs, inputs, seed=1) / inputs**0.5]
    if bias:
        arguments.append(draw(outputs, seed=2))

    def function(x: mx.array, weight: mx.array, bias: mx.array | None = None) -> mx.array:
        return kernels.linear(x, weight, bias, activation)

    assert_same(function, arguments, TOLERANCES[dtype])


@native
@both_types
@pytest.mark.parametrize("width", [32, 50, 257])
@pytest.mark.parametrize("rms", [False, True])
def test_norm_and_add_norm(width: int, rms: bool, dtype: mx.Dtype) -> None:
    x, residual = draw(3, 7, width).astype(dtype), draw(3, 7, width, seed=1).astype(dtype)
    weight, bias = 1 + draw(width, seed=2) / 10, draw(width, seed=3)

    def norm(x: mx.array, weight: mx.array, bias: mx.array | None = None) -> mx.array:
        return kernels.norm(x, weight, bias, eps=1e-5, rms=rms)

    def add_norm(x: mx.array, residual: mx.array, weight: mx.array) -> tuple[mx.array, mx.array]:
        return kernels.add_norm(x, residual, weight, eps=1e-5, rms=rms)

    assert_same(norm, [x, weight] if rms else [x, weight, bias], TOLERANCES[dtype])
    assert_same(add_norm, [x, residual, weight], TOLERANCES[dtype])


@native
@both_types
@pytest.mark.parametrize("activation", ["gelu", "geglu", "swiglu"])
def test_activate(activation: Any, dtype: mx.Dtype) -> None:
    x = (3 * draw(5, 34)).astype(dtype)
    assert_same(lambda x: kernels.activate(x, activation), [x], TOLERANCES[dtype])


@native
@both_types
@pytest.mark.parametrize("shape", [(11,), (3, 5)])
def test_embedding(shape: tuple[int, ...], dtype: mx.Dtype) -> None:
    ids = mx.random.randint(0, 9, shape, key=mx.random.key(0))
    assert_same(
        lambda table: kernels.embedding(table, ids, dtype), [draw(9, 18)], TOLERANCES[dtype]
    )


@native
@both_types
@pytest.mark.parametrize("half_window", [None, 0, 3, 100])
@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("head_size", [8, 20, 64])
def test_packed_attention(
    half_window: int | None, rotary: bool, head_size: int, dtype: mx.Dtype
) -> None:
    lengths = [1, 19, 6, 40]
    cu_seqlens = mx.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    angles = np.arange(64)[:, None] * 100.0 ** -np.linspace(0, 1, head_size // 2)[None]
    tables: dict[str, mx.array] = {}
    if rotary:
        tables = {
            "cosines": mx.array(np.cos(angles).astype(np.float32)),
            "sines": mx.array(np.sin(angles).astype(np.float32)),
        }

    def function(qkv: mx.array) -> mx.array:
        return kernels.packed_attention(qkv, cu_seqlens, 2, half_window=half_window, **tables)

    qkv = draw(sum(lengths), 3 * 2 * head_size).astype(dtype)
    assert_same(function, [qkv], TOLERANCES[dtype])


@native
@both_types
def test_sequence_sum(dtype: mx.Dtype) -> None:
    cu_seqlens = mx.array([0, 4, 4, 11], dtype=mx.int32)  # two tokens stand behind the last row
    x = draw(13, 20).astype(dtype)
    assert_same(lambda x: kernels.sequence_sum(x, cu_seqlens), [x], TOLERANCES[dtype])


@native
@pytest.mark.parametrize("size", [1, 50, 4097])
def test_adamw_and_square_sum(size: int) -> None:
    parameter, gradient, m = (draw(size, seed=seed) for seed in range(3))
    v = mx.square(draw(size, seed=3))

    def step() -> list[mx.array]:
        # More arrays than one operation takes.
        p, m1, v1 = optimizer_kernels.adamw(
            [parameter] * 20,
            [gradient] * 20,
            [m] * 20,
            [v] * 20,
            learning_rate=mx.array(1e-2),
            step=mx.array(3.0),
            gradient_scale=mx.array(0.5),
            beta1=0.9,
            beta2=0.99,
            eps=1e-8,
            weight_decay=[0.1] * 19 + [0.0],
        )
        return [*p, *m1, *v1]

    actual, total = step(), optimizer_kernels.square_sum([gradient, parameter])
    with without_native():
        expected, reference = step(), optimizer_kernels.square_sum([gradient, parameter])
    for ours, theirs in zip(actual, expected, strict=True):
        assert np.allclose(ours, theirs, rtol=KERNEL, atol=KERNEL)
    assert float(total) == pytest.approx(float(reference), rel=KERNEL)


def test_packed_attention_is_attention_within_each_row() -> None:
    lengths, heads, head_size = [4, 1, 7], 2, 6
    qkv = np.array(draw(12, 3 * heads * head_size))
    cu_seqlens = mx.array([0, 4, 5, 12], dtype=mx.int32)
    expected, start = np.zeros((12, heads * head_size)), 0
    for length in lengths:
        rows = slice(start, start + length)
        queries, keys, values = np.split(qkv[rows].astype(np.float64), 3, axis=1)
        for head in range(heads):
            columns = slice(head * head_size, (head + 1) * head_size)
            scores = queries[:, columns] @ keys[:, columns].T / head_size**0.5
            weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            expected[rows, columns] = weights @ values[:, columns]
        start += length
    assert np.allclose(
        kernels.packed_attention(mx.array(qkv), cu_seqlens, heads), expected, atol=1e-5
    )
    with without_native():
        plain = kernels.packed_attention(mx.array(qkv), cu_seqlens, heads)
    assert np.allclose(plain, expected, atol=1e-5)


def test_gelu_is_the_erf_form() -> None:
    x = np.linspace(-4, 4, 33)
    expected = [value * (1 + erf(value / 2**0.5)) / 2 for value in x]
    assert np.allclose(kernels.activate(mx.array(x), "gelu"), expected, atol=1e-6)


@pytest.mark.parametrize("installed", [True, False])
def test_dropout_drops_its_share_and_keeps_the_mean(installed: bool) -> None:
    mx.random.seed(0)
    ones = mx.ones((200, 300))
    if installed:
        dropped = kernels.dropout(ones, 0.3)
    else:
        with without_native():
            dropped = kernels.dropout(ones, 0.3)
    values = np.array(dropped)
    assert np.allclose(np.unique(values), [0, 1 / 0.7])
    assert (values == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert mx.array_equal(kernels.dropout(ones, 0.0), ones)


def test_masks_follow_the_seed_and_differ_from_call_to_call() -> None:
    ones = mx.ones((20, 30))

    def two_masks() -> list[mx.array]:
        mx.random.seed(4)
        return [kernels.dropout(ones, 0.5), kernels.dropout(ones, 0.5)]

    first, again = two_masks(), two_masks()
    assert mx.array_equal(first[0], again[0])
    assert mx.array_equal(first[1], again[1])
    assert not mx.array_equal(first[0], first[1])


def test_a_key_scope_repeats_its_masks_and_leaves_the_state_alone() -> None:
    ones, key = mx.ones((20, 30)), mx.random.key(5)

    def scoped() -> list[mx.array]:
        with kernels.keyed(key):
            return [kernels.dropout(ones, 0.5), kernels.dropout(ones, 0.5)]

    mx.random.seed(1)
    expected = kernels.dropout(ones, 0.5)
    mx.random.seed(1)
    first = scoped()
    assert mx.array_equal(kernels.dropout(ones, 0.5), expected)
    assert all(mx.array_equal(a, b) for a, b in zip(first, scoped(), strict=True))
    assert not mx.array_equal(first[0], first[1])


def test_dropout_gradient_has_the_mask_of_the_forward_pass() -> None:
    mx.random.seed(2)

    def total(x: mx.array) -> mx.array:
        with kernels.keyed(mx.random.key(3)):
            return kernels.dropout(x, 0.4).sum()

    with kernels.keyed(mx.random.key(3)):
        mask = kernels.dropout(mx.ones((9, 11)), 0.4)
    assert np.allclose(mx.grad(total)(mx.ones((9, 11))), mask)


@pytest.mark.parametrize("installed", [True, False])
def test_add_norm_drops_the_update_alone_and_the_gradient_knows(installed: bool) -> None:
    update, residual, weight = mx.ones((9, 16)), draw(9, 16), mx.ones(16)

    def stream(update: mx.array, residual: mx.array) -> mx.array:
        with kernels.keyed(mx.random.key(3)):
            return kernels.add_norm(update, residual, weight, eps=1e-5, dropout_rate=0.4)[1]

    def check() -> None:
        mask = np.array(stream(update, residual) - residual)
        assert np.allclose(np.unique(mask.round(4)), [0, 1.6667], atol=1e-3)
        total = mx.grad(lambda *arguments: stream(*arguments).sum(), argnums=(0, 1))
        of_update, of_residual = total(update, residual)
        assert np.allclose(of_update, mask, atol=1e-5)
        assert np.allclose(of_residual, 1)

    if installed:
        check()
    else:
        with without_native():
            check()


def test_precision_names_are_checked() -> None:
    assert kernels.activation_dtype("bf16") == mx.bfloat16
    with pytest.raises(ValueError, match="unknown precision 'f16'"):
        kernels.activation_dtype("f16")


@native
@both_types
def test_cross_entropy(dtype: mx.Dtype) -> None:
    logits = (4 * draw(7, 301)).astype(dtype)
    labels = mx.array([0, 300, 5, 5, 17, 99, 160])
    assert_same(lambda each: kernels.cross_entropy(each, labels), [logits], TOLERANCES[dtype])
    exact = logits.astype(mx.float32)
    expected = mx.logsumexp(exact, axis=-1) - exact[mx.arange(7), labels]
    np.testing.assert_allclose(kernels.cross_entropy(logits, labels), expected, atol=1e-5)
