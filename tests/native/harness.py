"""Run a native operation and its vjp, and compare each array with its f64 reference."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from bert_playground import kernels
from tests.tolerances import KERNEL, KERNEL_BF16

TOKENS = (1, 2, 7, 33, 130)
WIDTHS = (8, 50, 257, 384)
TYPES = {"f32": mx.float32, "bf16": mx.bfloat16}
TOLERANCES = {mx.float32: KERNEL, mx.bfloat16: KERNEL_BF16}

needs_native = [
    pytest.mark.native,
    pytest.mark.skipif(not kernels.is_native(), reason="the native kernels are not installed"),
]
both_types = pytest.mark.parametrize("dtype", list(TYPES.values()), ids=list(TYPES))


def draw(*shape: int, seed: int = 0, dtype: mx.Dtype = mx.float32, scale: float = 1.0) -> mx.array:
    """Normal values that are exact in `dtype`, so that the reference starts from the same numbers."""
    values = np.random.default_rng((seed, *shape)).normal(size=shape) * scale
    return mx.array(values.astype(np.float32)).astype(dtype)


def f64(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32)).astype(np.float64)


def vjp(
    function: Callable[..., Any], arguments: Sequence[mx.array], seed: int = 99
) -> tuple[list[mx.array], list[mx.array], list[mx.array]]:
    """Outputs, gradients of all arguments, and the cotangents that were drawn for the outputs."""

    def listed(*arguments: mx.array) -> list[mx.array]:
        result = function(*arguments)
        return list(result) if isinstance(result, (tuple, list)) else [result]

    shapes = [(output.shape, output.dtype) for output in listed(*arguments)]
    cotangents = [draw(*shape, seed=seed + i, dtype=t) for i, (shape, t) in enumerate(shapes)]
    outputs, gradients = mx.vjp(listed, list(arguments), cotangents)
    mx.eval(outputs, gradients)
    return outputs, gradients, cotangents


def assert_close(ours: mx.array, wanted: np.ndarray, tolerance: float, what: str = "") -> None:
    """Every value within `tolerance` of the largest one of its array."""
    assert ours.shape == wanted.shape, f"{what}: {ours.shape} is not {wanted.shape}"
    values = f64(ours)
    assert np.isfinite(values).all(), f"{what}: not finite"
    if not wanted.size:
        return
    error, largest = np.abs(values - wanted).max(), np.abs(wanted).max()
    assert error <= tolerance * max(largest, 1e-30), f"{what}: off by {error / largest:.1e}"
