"""Wrong shapes and types are ValueErrors that name them; wrong ids and lengths are RuntimeErrors, not stray reads."""

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest

from tests.native.harness import draw, needs_native

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
X, WEIGHT, STARTS = draw(6, 8), draw(4, 8), mx.array([0, 2, 6], dtype=mx.int32)
QKV, KEY = draw(6, 24), mx.random.key(0)
TABLES = {"cosines": mx.ones((9, 4)), "sines": mx.ones((9, 4))}
ONE = mx.array(1.0)
BETAS = {"beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "weight_decay": [0.0]}

TABLE = draw(9, 8)


def layer(**changes: Any) -> Any:
    """A layer of 8 numbers a token, two heads of 4 and 6 inner numbers, with something changed."""
    shapes = {"qkv": (24, 8), "output": (8, 8), "up": (6, 8), "down": (8, 6)}
    products = [
        (native.pack(draw(*shape), mx.float32, "gelu" if name == "up" else "none"), shape[0], None)
        for name, shape in shapes.items()
    ]
    options = {"products": products, "norms": [None, (mx.ones(8), None), None], "num_heads": 2}
    return native.encoder_layer(
        X, STARTS, **(options | {"activation": "gelu", "eps": 1e-5} | changes)
    )


def embeddings(*, ids: Any = STARTS, tables: Any = (TABLE, TABLE, TABLE), **options: Any) -> Any:
    return native.bert_embeddings(
        ids,
        mx.array([0, 2], dtype=mx.int32),
        list(tables),
        (mx.ones(8), None),
        eps=1e-5,
        dtype=mx.float32,
        **options,
    )


def numbers(*, values: Any = None, weight: Any = None, ids: Any = STARTS) -> Any:
    """Three tokens of one row with two numbers of four ramps; tokens 5 and 6 of 9 are none."""
    values = draw(1, 2) if values is None else values
    weight = draw(2, 4, 8) if weight is None else weight
    known = mx.array([0, 0, 1, 1, 0, 2, 2, 0, 1])
    return native.numeric_embedding(
        ids, mx.array([0, 3], dtype=mx.int32), values, weight, known, mx.float32
    )


def adamw(*arrays: mx.array) -> Any:
    return native.adamw(*([array] for array in arrays), ONE, ONE, ONE, **BETAS)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "linear width": (lambda: native.linear(X, draw(4, 7)), r"x is float32\(6,8\).*needs its last dimension to be 7"),
    "linear weight": (lambda: native.linear(X, draw(8)), "weight is .*expected float32 or bfloat16"),
    "linear dtype": (lambda: native.linear(X.astype(mx.float16), WEIGHT), "x is float16"),
    "linear scalar": (lambda: native.linear(ONE, WEIGHT), "at least one dimension"),
    "linear bias": (lambda: native.linear(X, WEIGHT, draw(5)), r"bias has shape \(5\), expected \(4\)"),
    "linear activation": (lambda: native.linear(X, WEIGHT, None, "relu"), '"relu", expected none, gelu'),
    "linear odd gate": (lambda: native.linear(X, draw(5, 8), None, "geglu"), "even number of rows"),
    "pack dtype": (lambda: native.pack(WEIGHT, mx.float16), "dtype must be float32 or bfloat16"),
    "packed from another": (
        lambda: native.packed_linear(X, native.pack(draw(40, 80), mx.float32), 4),
        "make it with pack",
    ),
    "packed type": (lambda: native.packed_linear(X, WEIGHT, 4), "expected uint8"),
    "int8 packed": (lambda: native.int8_linear(X, mx.zeros(3, dtype=mx.uint8), 4), "make it with pack_int8"),
    "pack_int8 shape": (lambda: native.pack_int8(draw(4)), "weight is .*expected"),
    "norm weight": (lambda: native.norm(X, mx.ones(7), eps=1e-5), r"weight has shape \(7\), expected \(8\)"),
    "norm bias": (lambda: native.norm(X, mx.ones(8), mx.ones(7), eps=1e-5), "bias has shape"),
    "residual shape": (lambda: native.add_norm(X, X[:5], mx.ones(8), eps=1e-5), "residual has shape"),
    "residual dtype": (
        lambda: native.add_norm(X, X.astype(mx.bfloat16), mx.ones(8), eps=1e-5),
        "residual is bfloat16.*expected the dtype of x",
    ),
    "no seed": (lambda: native.add_norm(X, X, mx.ones(8), eps=1e-5, dropout=0.1), "dropout needs a seed"),
    "dropout of 1": (lambda: native.dropout(X, 1.0, KEY), "expected 0 <= dropout < 1"),
    "dropout below 0": (lambda: native.dropout(X, -0.1, KEY), "expected 0 <= dropout < 1"),
    "seed type": (lambda: native.dropout(X, 0.1, ONE), "seed is float32"),
    "heads": (lambda: native.attention(QKV, STARTS, 5), "3 \\* num_heads \\* head_size"),
    "no heads": (lambda: native.attention(QKV, STARTS, 0), "num_heads 0"),
    "starts type": (lambda: native.attention(QKV, STARTS.astype(mx.int64), 1), "cu_seqlens is int64"),
    "no starts": (lambda: native.attention(QKV, STARTS[:0], 1), "expected int32"),
    "cosines alone": (lambda: native.attention(QKV, STARTS, 1, cosines=TABLES["cosines"]), "both cosines and sines"),
    "cosines width": (
        lambda: native.attention(QKV, STARTS, 1, cosines=mx.ones((9, 3)), sines=mx.ones((9, 3))),
        r"cosines is .*expected \[positions, 4\]",
    ),
    "sines shape": (
        lambda: native.attention(QKV, STARTS, 1, cosines=mx.ones((9, 4)), sines=mx.ones((8, 4))),
        "sines has shape",
    ),
    "odd gate": (lambda: native.activation(draw(2, 7), "geglu"), "even last dimension"),
    "ids type": (lambda: native.embedding(WEIGHT, X, mx.float32), "expected integers"),
    "embedding type": (lambda: native.embedding(WEIGHT, STARTS, mx.float16), "dtype must be"),
    "table shape": (lambda: native.embedding(draw(4), STARTS, mx.float32), r"expected \[rows, width\]"),
    "sum shape": (lambda: native.sequence_sum(draw(2, 3, 4), STARTS), r"expected \[tokens, width\]"),
    "sum starts": (lambda: native.sequence_sum(X, mx.array(3, dtype=mx.int32)), "cu_seqlens is int32"),
    "labels shape": (lambda: native.cross_entropy(X, STARTS), r"labels has shape \(3\), expected \(6\)"),
    "labels type": (lambda: native.cross_entropy(X, draw(6)), "labels is float32"),
    "adamw type": (lambda: adamw(X.astype(mx.bfloat16), X, X, X), "parameter is bfloat16"),
    "adamw gradient": (lambda: adamw(X, X[0], X, X), "gradient has shape"),
    "adamw moment": (lambda: adamw(X, X, X, X.astype(mx.bfloat16)), "v is bfloat16"),
    "adamw scalar": (
        lambda: native.adamw([X], [X], [X], [X], X, ONE, ONE, **BETAS),
        "learning_rate is .*expected one value",
    ),
    "square sum type": (lambda: native.square_sum(STARTS), "x is int32"),
    "layer heads": (lambda: layer(num_heads=5), "3 \\* num_heads \\* head_size"),
    "layer norms": (lambda: layer(norms=[None, None, None]), "norms are those before"),
    "layer norm width": (lambda: layer(norms=[None, (mx.ones(7), None), None]), "norm has shape"),
    "layer residual": (lambda: layer(residual=X), "a residual needs the norm before attention"),
    "layer packing": (lambda: layer(is_int8=True), "make it with pack_int8"),
    "layer activation": (lambda: layer(activation="relu"), '"relu", expected none, gelu'),
    "layer cosines alone": (lambda: layer(cosines=mx.ones((9, 2))), "both cosines and sines"),
    "layer products": (lambda: layer(products=[]), "products are qkv, output, up and down"),
    "embeddings tables": (lambda: embeddings(tables=[TABLE]), "tables are words"),
    "embeddings width": (lambda: embeddings(tables=[TABLE, draw(2, 7), TABLE]), "width of the words"),
    "embeddings ids": (lambda: embeddings(ids=draw(3)), "expected integers"),
    "embeddings added": (lambda: embeddings(added=draw(2, 8)), "added has shape"),
    "numbers values": (lambda: numbers(values=draw(1, 3)), r"values has shape \(1,3\), expected \(1,2\)"),
    "numbers weight": (lambda: numbers(weight=draw(2, 8)), r"expected \[numbers, ramps, width\]"),
    "numbers ids": (lambda: numbers(ids=draw(3)), "expected integers"),
    "quantized bits": (
        lambda: native.quantized_linear(X, WEIGHT, WEIGHT, WEIGHT, group_size=32, bits=3),
        "expected 4 or 8",
    ),
    "quantized weight": (
        lambda: native.quantized_linear(X, WEIGHT, WEIGHT, WEIGHT, group_size=32, bits=4),
        "weight is float32.*expected uint32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_said_when_the_operation_is_built(case: str) -> None:
    build, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build()


VALUES: dict[str, tuple[Callable[[], Any], str]] = {
    "row longer than the rotary tables": (
        lambda: native.attention(draw(16, 24), mx.array([0, 3, 13, 16], dtype=mx.int32), 1, **TABLES),
        "sequence 1 has 10 tokens, but cosines and sines have only 9 positions",
    ),
    "starts beyond the tokens": (
        lambda: native.attention(QKV, mx.array([0, 7], dtype=mx.int32), 1),
        "runs from 0 to 7, expected .*at most 6",
    ),
    "starts that go back": (
        lambda: native.attention(QKV, mx.array([0, 4, 3, 6], dtype=mx.int32), 1),
        "not sorted",
    ),
    "starts not at 0": (lambda: native.attention(QKV, mx.array([1, 6], dtype=mx.int32), 1), "runs from 1 to 6"),
    "sums beyond the tokens": (lambda: native.sequence_sum(X, mx.array([0, 7], dtype=mx.int32)), "at most 6"),
    "id beyond the table": (
        lambda: native.embedding(WEIGHT, mx.array([0, 4]), mx.float32),
        "ids holds 4, expected 0 to 3",
    ),
    "embeddings id": (lambda: embeddings(ids=mx.array([0, 9])), "ids holds 9, expected 0 to 8"),
    "embeddings type": (lambda: embeddings(type_ids=mx.array([0, 0, 9])), "ids holds 9"),
    "embeddings position": (
        lambda: embeddings(tables=[TABLE, TABLE, TABLE[:1]]),
        "ids holds 1, expected 0 to 0",
    ),
    "numbers id": (lambda: numbers(ids=mx.array([0, 9, 1])), "ids holds 9, expected 0 to 8"),
    "layer longer than the rotary tables": (
        lambda: layer(cosines=mx.ones((3, 2)), sines=mx.ones((3, 2)))[0],
        "only 3 positions",
    ),
    "negative id": (lambda: native.embedding(WEIGHT, mx.array([-1]), mx.float32), "ids holds -1"),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_values_that_would_reach_outside_are_refused_when_it_runs(case: str) -> None:
    build, message = VALUES[case]
    result = build()
    with pytest.raises(RuntimeError, match=message):
        mx.eval(result)
    # The stream still works.
    assert float(native.square_sum(mx.ones(4))) == 4


def test_refusal_reaches_the_caller_of_a_gradient() -> None:
    def loss(x: mx.array) -> mx.array:
        return native.attention(x, mx.array([0, 16], dtype=mx.int32), 1, **TABLES).sum()

    with pytest.raises(RuntimeError, match="only 9 positions"):
        mx.eval(mx.grad(loss)(draw(16, 24)))
