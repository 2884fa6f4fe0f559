"""Print a hash of each operation's outputs and gradients; run in processes of their own, with other numbers of threads."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import bert_playground_kernels as native
import mlx.core as mx
import numpy as np

from tests.native.harness import TYPES, draw, vjp

# Large enough that all threads take part, and odd.
TOKENS, WIDTH, HEADS = 1031, 192, 3
LENGTHS = [400, 1, 0, 130, 33, 7, 300, 160]


def make_operations(dtype: mx.Dtype) -> dict[str, tuple[Callable[..., Any], list[mx.array]]]:
    starts = mx.array(np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int32))
    x, residual = draw(TOKENS, WIDTH, dtype=dtype), draw(TOKENS, WIDTH, seed=1, dtype=dtype)
    weight, gain = draw(2 * WIDTH, WIDTH, seed=2, scale=WIDTH**-0.5), draw(WIDTH, seed=3)
    qkv, key = draw(TOKENS, 3 * WIDTH, seed=4, dtype=dtype), mx.random.key(5)
    ids = mx.array(np.random.default_rng(6).integers(0, 50, TOKENS))
    quantized = mx.quantize(weight, group_size=64, bits=8)
    adamw_options = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": [0.1]}
    one = mx.array(1.0)
    return {
        "linear": (lambda x, w, b: native.linear(x, w, b, "gelu"), [x, weight, draw(2 * WIDTH)]),
        "geglu": (lambda x, w: native.linear(x, w, None, "geglu"), [x, weight]),
        "norm": (lambda x, w, b: native.norm(x, w, b, eps=1e-5), [x, gain, gain]),
        "add_norm": (
            lambda x, r, w: native.add_norm(x, r, w, eps=1e-5, dropout=0.1, seed=key),
            [x, residual, gain],
        ),
        "attention": (lambda q: native.attention(q, starts, HEADS), [qkv]),
        "window": (lambda q: native.attention(q, starts, HEADS, half_window=16), [qkv]),
        "attention dropout": (
            lambda q: native.attention(q, starts, HEADS, dropout=0.1, seed=key),
            [qkv],
        ),
        "swiglu": (lambda x: native.activation(x, "swiglu"), [x]),
        "dropout": (lambda x: native.dropout(x, 0.1, key), [x]),
        "embedding": (lambda t: native.embedding(t, ids, dtype), [draw(50, WIDTH)]),
        "sequence_sum": (lambda x: native.sequence_sum(x, starts), [x]),
        "cross_entropy": (lambda x: native.cross_entropy(x, ids), [x]),
        "quantized": (
            lambda x: native.quantized_linear(x, *quantized, group_size=64, bits=8),
            [x],
        ),
        "square_sum": (lambda x: native.square_sum(mx.stop_gradient(x)), [x]),
        "adamw": (
            lambda g: native.adamw(
                *([mx.stop_gradient(a)] for a in (weight, g, weight, mx.square(weight))),
                one, one, one, **adamw_options,
            )[0],
            [mx.square(weight)],
        ),
        "int8": (
            lambda x: native.int8_linear(mx.stop_gradient(x), native.pack_int8(weight), 2 * WIDTH),
            [x],
        ),
        "packed": (
            lambda x: native.packed_linear(
                mx.stop_gradient(x), native.pack(weight, dtype), 2 * WIDTH
            ),
            [x],
        ),
    }  # fmt: skip


def digest(arrays: list[mx.array]) -> str:
    together = hashlib.sha256()
    for array in arrays:
        together.update(np.array(array.astype(mx.float32)).tobytes())
    return together.hexdigest()[:16]


def take_fingerprints() -> dict[str, str]:
    prints = {}
    for type_name, dtype in TYPES.items():
        for name, (function, arguments) in make_operations(dtype).items():
            outputs, gradients, _ = vjp(function, arguments)
            prints[f"{name} {type_name}"] = digest([*outputs, *gradients])
    return prints


if __name__ == "__main__":
    print(json.dumps(take_fingerprints()))
