"""activation, dropout, fork, embedding, sequence_sum, cross_entropy, adamw and square_sum against f64."""

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


@both_types
@pytest.mark.parametrize("name", ["gelu", "geglu", "swiglu"])
def test_activation(name: str, dtype: mx.Dtype) -> None:
    for tokens in (0, *TOKENS):
        for width in (2, 8, 50, 258, 384):
            x = draw(tokens, width, dtype=dtype, scale=3.0)
            ours, gradients, (dy,) = vjp(lambda x: native.activation(x, name), [x])
            y, backward = reference.activation(f64(x), name)
            assert_close(ours[0], y, TOLERANCES[dtype], f"{tokens} x {width}")
            assert_close(gradients[0], backward(f64(dy)), TOLERANCES[dtype], f"{tokens} x {width}")


@pytest.mark.parametrize("name", ["gelu", "geglu", "swiglu"])
def test_activation_at_its_ends(name: str) -> None:
    x = np.array([-np.inf, -1e30, -20.0, -0.0, 0.0, 20.0, 1e30, np.inf], dtype=np.float32)
    gate = [] if name == "gelu" else [np.ones_like(x)]
    ours = np.array(native.activation(mx.array(np.concatenate([x, *gate])), name))
    assert np.allclose(ours[[1, 2, 3, 4]], 0, atol=1e-7)
    assert np.array_equal(ours[5:], x[5:])
    assert not ours[0] > 0  # the formula has -inf * 0


@both_types
def test_dropout_is_a_function_of_the_key_and_the_place(dtype: mx.Dtype) -> None:
    rate, key = 0.2, mx.random.key(1)
    for shape in ((1,), (33, 50), (130, 257), (0, 4)):
        ones = mx.ones(shape).astype(dtype)
        (y,), gradients, (dy,) = vjp(lambda x: native.dropout(x, rate, key), [ones])
        mask = f64(y)
        assert set(np.unique(mask != 0)) <= {False, True}
        assert np.array_equal(mask != 0, f64(gradients[0]) != 0)
        assert_close(gradients[0], f64(dy) * mask, TOLERANCES[dtype])
        assert mx.array_equal(native.dropout(ones, rate, key), y)
        if mask.size > 1000:
            assert (mask == 0).mean() == pytest.approx(rate, abs=0.03)
            assert not mx.array_equal(native.dropout(ones, rate, mx.random.key(2)), y)
            for axis in (0, 1):  # no row or column is favoured
                assert abs((mask == 0).mean(axis=axis) - rate).max() < 0.35


@both_types
@pytest.mark.parametrize("ids_type", [mx.int32, mx.uint32, mx.int64, mx.uint8])
def test_embedding(ids_type: mx.Dtype, dtype: mx.Dtype) -> None:
    for width in WIDTHS:
        for shape in ((0,), (1,), (130,), (3, 7)):
            table = draw(11, width)
            ids = np.random.default_rng(0).integers(0, 11, shape)
            (y,), (dtable,), (dy,) = vjp(
                lambda t, ids=ids: native.embedding(t, mx.array(ids).astype(ids_type), dtype),
                [table],
            )
            wanted = np.zeros((11, width))
            np.add.at(wanted, ids, f64(dy))
            assert y.dtype == dtype
            assert mx.array_equal(y, table[mx.array(ids)].astype(dtype))
            assert_close(dtable, wanted, TOLERANCES[mx.float32], f"{shape} x {width}")


@both_types
def test_embedding_of_a_bf16_table(dtype: mx.Dtype) -> None:
    table, ids = draw(11, 50, dtype=mx.bfloat16), mx.array([3, 3, 0, 10])
    (y,), (dtable,), (dy,) = vjp(lambda t: native.embedding(t, ids, dtype), [table])
    wanted = np.zeros((11, 50))
    np.add.at(wanted, np.array(ids), f64(dy))
    assert mx.array_equal(y, table[ids].astype(dtype))
    assert dtable.dtype == mx.bfloat16
    assert_close(dtable, wanted, TOLERANCES[mx.bfloat16])


@both_types
@pytest.mark.parametrize("width", [1, *WIDTHS])
def test_sequence_sum(width: int, dtype: mx.Dtype) -> None:
    for lengths, behind in (
        ([1], 0),
        ([0, 7, 0, 0, 33, 1, 0], 0),
        ([130, 2], 5),
        ([0], 3),
        ([], 0),
    ):
        ends = np.cumsum(lengths).astype(int)
        starts = mx.array([0, *ends.tolist()], dtype=mx.int32)
        x = draw(sum(lengths) + behind, width, dtype=dtype)
        (y,), (dx,), (dy,) = vjp(lambda x, starts=starts: native.sequence_sum(x, starts), [x])
        rows = [
            f64(x)[end - length : end].sum(axis=0)
            for end, length in zip(ends, lengths, strict=True)
        ]
        assert y.dtype == mx.float32
        assert_close(y, np.array(rows).reshape(len(lengths), width), TOLERANCES[mx.float32])
        wanted = np.concatenate([np.repeat(f64(dy), lengths, axis=0), np.zeros((behind, width))])
        assert dx.dtype == dtype
        assert_close(dx, wanted, TOLERANCES[dtype])


@both_types
@pytest.mark.parametrize("classes", [1, 2, 7, 50, 257])
def test_cross_entropy(classes: int, dtype: mx.Dtype) -> None:
    for tokens in (0, *TOKENS):
        logits = draw(tokens, classes, dtype=dtype, scale=4.0)
        labels = np.random.default_rng(0).integers(-1, classes, tokens)
        (losses,), (gradient,), (d,) = vjp(
            lambda x, labels=labels: native.cross_entropy(x, mx.array(labels)), [logits]
        )
        wanted, backward = reference.cross_entropy(f64(logits), labels)
        assert np.abs(f64(losses) - wanted).max(initial=0) < 1e-5
        dlogits = backward(f64(d))
        assert np.abs(f64(gradient) - dlogits).max(initial=0) < TOLERANCES[dtype]


def test_cross_entropy_of_extreme_logits_and_of_no_class() -> None:
    logits = mx.array([[1e4, -1e4], [-1e30, 0.0], [0.0, 0.0]])
    losses = native.cross_entropy(logits, mx.array([1, 1, 2]))
    assert np.array_equal(losses[:2], [2e4, 0])
    assert np.isnan(float(losses[2])), "a label that is no class is loud"


@both_types
def test_fork_adds_up_gradients(dtype: mx.Dtype) -> None:
    x, scale = draw(33, 50, dtype=dtype), draw(33, 50, seed=1, dtype=dtype)

    def both(x: mx.array) -> list[mx.array]:
        first, second = native.fork(x)
        return [first * 2, second * scale]

    ours, (gradient,), cotangents = vjp(both, [x])
    assert mx.array_equal(ours[0], x * 2)
    assert mx.array_equal(gradient, cotangents[0] * 2 + cotangents[1] * scale)
    _, (half,), (dy,) = vjp(lambda x: native.fork(x)[1] * scale, [x])
    assert mx.array_equal(half, dy * scale)


def adamw(parameter: mx.array, gradient: mx.array, m: mx.array, v: mx.array, step: int = 3) -> Any:
    updated = native.adamw(
        [parameter],
        [gradient],
        [m],
        [v],
        mx.array(1e-2),
        mx.array(float(step)),
        mx.array(0.5),
        beta1=0.9,
        beta2=0.99,
        eps=1e-8,
        weight_decay=[0.1],
    )
    return [array for (array,) in updated]


@both_types
@pytest.mark.parametrize("shape", [(1,), (7,), (33, 50), (4097,), (0,), ()])
def test_adamw(shape: tuple[int, ...], dtype: mx.Dtype) -> None:
    parameter, m = draw(*shape), draw(*shape, seed=1)
    gradient, v = draw(*shape, seed=2, dtype=dtype), mx.square(draw(*shape, seed=3))
    p, g, first, second = (f64(a) for a in (parameter, gradient, m, v))
    first = 0.9 * first + 0.1 * g * 0.5
    second = 0.99 * second + 0.01 * (g * 0.5) ** 2
    update = first / (1 - 0.9**3) / (np.sqrt(second / (1 - 0.99**3)) + 1e-8)
    wanted = (p * (1 - 1e-2 * 0.1) - 1e-2 * update, first, second)
    for ours, value in zip(adamw(parameter, gradient, m, v), wanted, strict=True):
        assert ours.dtype == mx.float32
        assert_close(ours, value, TOLERANCES[mx.float32])


def test_adamw_works_in_place() -> None:
    shape = (1024, 1024)  # 4 MB each
    parameter, m, v = mx.ones(shape), mx.zeros(shape), mx.zeros(shape)
    gradient = mx.ones(shape)
    mx.eval(gradient)
    for step in (1, 2, 3):
        # The first step moves the arrays to aligned memory.
        parameter, m, v = adamw(parameter, gradient, m, v, step)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        mx.eval(parameter, m, v)
        if step > 1:
            assert mx.get_peak_memory() - before < 2**20


def test_adamw_leaves_arrays_alone_that_someone_holds() -> None:
    parameter, m, v = mx.ones((64, 64)), mx.zeros((64, 64)), mx.zeros((64, 64))
    parameter, m, v = adamw(parameter, mx.ones((64, 64)), m, v)
    mx.eval(parameter, m, v)
    kept = [np.array(a) for a in (parameter, m, v)]
    mx.eval(adamw(parameter, mx.ones((64, 64)), m, v))
    for array, value in zip((parameter, m, v), kept, strict=True):
        assert np.array_equal(array, value)


@both_types
@pytest.mark.parametrize("size", [0, 1, 7, 130, 16384, 16385, 70001])
def test_square_sum(size: int, dtype: mx.Dtype) -> None:
    x = draw(size, dtype=dtype)
    assert float(native.square_sum(x)) == pytest.approx((f64(x) ** 2).sum(), rel=1e-6)


def test_square_sum_neither_overflows_nor_loses_small_values() -> None:
    assert float(native.square_sum(mx.full((100,), 1e18))) == pytest.approx(1e38, rel=1e-6)
    x = mx.concatenate([mx.array([1e4]), mx.full((100_000,), 1e-2)])
    assert float(native.square_sum(x)) == pytest.approx(1e8 + 10, rel=1e-7)
