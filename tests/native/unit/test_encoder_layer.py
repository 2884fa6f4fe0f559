"""encoder_layer and bert_embeddings are, bit for bit, the operations that they are made of."""

from itertools import pairwise
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest

from tests.native.harness import TYPES, draw, needs_native

native: Any = pytest.importorskip("bert_playground_kernels")
pytestmark = needs_native
EPS = 1e-5
HEADS, HEAD_SIZE = 3, 8
# Whether too few tokens for a team of threads, or enough; rows without tokens, and tokens behind the last row.
LENGTHS = {"one": [1], "some": [0, 7, 1, 0, 25], "many": [64, 3, 90, 120, 77, 128, 5, 100]}


class Layer(NamedTuple):
    """A layer's weights, and how it is computed."""

    width: int
    inner: int
    activation: str
    dtype: mx.Dtype  # of the packed weights
    has_bias: bool = True
    rms: bool = False
    half_window: int = -1
    has_rotary: bool = False

    @property
    def products(self) -> list[tuple[mx.array, int, mx.array | None]]:
        attention, is_gated = HEADS * HEAD_SIZE, self.activation != "gelu"
        shapes = [
            (3 * attention, self.width),
            (self.width, attention),
            (self.inner * (1 + is_gated), self.width),
            (self.width, self.inner),
        ]
        found = []
        for place, (rows, columns) in enumerate(shapes):
            weight = draw(rows, columns, seed=place, scale=columns**-0.5)
            then = self.activation if place == 2 else "none"
            is_int8 = self.dtype == mx.int8
            packed = (
                native.pack_int8(weight, then) if is_int8 else native.pack(weight, self.dtype, then)
            )
            found.append((packed, rows, draw(rows, seed=9) if self.has_bias else None))
        return found

    def norm(self, seed: int) -> tuple[mx.array, mx.array | None]:
        has_bias = self.has_bias and not self.rms
        return draw(self.width, seed=seed), draw(self.width, seed=seed + 1) if has_bias else None

    @property
    def attention_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"half_window": self.half_window}
        if self.has_rotary:
            angles = np.arange(160)[:, None] * 100.0 ** -np.linspace(0, 1, HEAD_SIZE // 2)[None]
            options["cosines"] = mx.array(np.cos(angles).astype(np.float32))
            options["sines"] = mx.array(np.sin(angles).astype(np.float32))
        return options

    def fused(
        self, x: mx.array, starts: mx.array, norms: list[Any], residual: mx.array | None
    ) -> list[mx.array]:
        return native.encoder_layer(
            x, starts, self.products, norms, residual=residual, num_heads=HEADS, activation=self.activation,
            eps=EPS, rms=self.rms, is_int8=self.dtype == mx.int8, **self.attention_options,
        )  # fmt: skip

    def one_by_one(
        self, x: mx.array, starts: mx.array, norms: list[Any], residual: mx.array | None
    ) -> list[mx.array]:
        options = {"eps": EPS, "rms": self.rms}
        before, between, after = norms
        normed = stream = x
        if before and residual is not None:
            normed, stream = native.add_norm(x, residual, *before, **options)
        elif before:
            normed = native.norm(x, *before, **options)
        product = native.int8_linear if self.dtype == mx.int8 else native.packed_linear
        qkv, output, up, down = self.products
        attended = native.attention(product(normed, *qkv), starts, HEADS, **self.attention_options)
        normed, stream = native.add_norm(product(attended, *output), stream, *between, **options)
        update = product(product(normed, *up, self.activation), *down)
        return (
            [native.add_norm(update, normed, *after, **options)[0]] if after else [update, stream]
        )


LAYERS = {
    "bert": (Layer(40, 50, "gelu", mx.float32), "post"),
    "modernbert": (Layer(24, 34, "geglu", mx.float32, has_bias=False, half_window=4, has_rotary=True), "pre"),
    "neobert": (Layer(33, 20, "swiglu", mx.float32, has_bias=False, rms=True, has_rotary=True), "pre"),
}  # fmt: skip


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
@pytest.mark.parametrize("packing", [mx.float32, mx.bfloat16, mx.int8], ids=["f32", "bf16", "int8"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_its_operations(kind: str, packing: mx.Dtype, lengths: list[int]) -> None:
    layer, place = LAYERS[kind]
    layer = layer._replace(dtype=packing)
    starts = mx.array(np.cumsum([0, *lengths]).astype(np.int32))
    dtype = mx.float32 if packing == mx.int8 else packing
    x, residual = (draw(sum(lengths) + 2, layer.width, seed=seed, dtype=dtype) for seed in (1, 2))
    first, between, last = (layer.norm(seed) for seed in (10, 20, 30))
    cases = {
        "post": [([None, between, last], None)],
        "pre": [([first, between, None], residual), ([first, between, None], None), ([None, between, None], None)],
    }  # fmt: skip
    for norms, added in cases[place]:
        ours = layer.fused(x, starts, norms, added)
        wanted = layer.one_by_one(x, starts, norms, added)
        assert [each.dtype for each in ours] == [dtype] * len(wanted)
        assert all(mx.array_equal(a, b) for a, b in zip(ours, wanted, strict=True))


def test_rows_do_not_see_each_other_whatever_the_team() -> None:
    layer, _ = LAYERS["bert"]
    lengths = LENGTHS["many"]
    ends = np.cumsum([0, *lengths]).tolist()
    x = draw(sum(lengths), layer.width)
    norms = [None, layer.norm(20), layer.norm(30)]
    (together,) = layer.fused(x, mx.array(ends, dtype=mx.int32), norms, None)
    for start, end in pairwise(ends):
        (alone,) = layer.fused(
            x[start:end], mx.array([0, end - start], dtype=mx.int32), norms, None
        )
        assert mx.array_equal(alone, together[start:end])


@pytest.mark.parametrize("dtype", list(TYPES.values()), ids=list(TYPES))
@pytest.mark.parametrize("with_types", [False, True])
@pytest.mark.parametrize("with_added", [False, True])
def test_embeddings_are_their_operations(
    dtype: mx.Dtype, with_types: bool, with_added: bool
) -> None:
    lengths, behind, width = [0, 7, 1, 25], 2, 33
    starts, count = np.cumsum([0, *lengths]).astype(np.int32), sum(lengths) + behind
    tables = [draw(rows, width, seed=rows) for rows in (50, 2, 30)]
    gain, shift = draw(width, seed=1), draw(width, seed=2)
    random = np.random.default_rng(0)
    ids = mx.array(random.integers(0, 50, count))
    types = mx.array(random.integers(0, 2, count)) if with_types else None
    added = draw(count, width, seed=3, dtype=dtype) if with_added else None
    ours = native.bert_embeddings(
        ids, mx.array(starts), tables, (gain, shift), eps=EPS, dtype=dtype, type_ids=types, added=added
    )  # fmt: skip
    words, kinds, positions = tables
    x = native.embedding(words, ids, dtype)
    x = x if added is None else x + added
    x = x + native.embedding(kinds, types if with_types else mx.zeros_like(ids), dtype)
    places = np.concatenate([np.arange(length) for length in (*lengths, behind)])
    wanted, _ = native.add_norm(
        native.embedding(positions, mx.array(places), dtype), x, gain, shift, eps=EPS
    )
    assert ours.dtype == dtype
    assert mx.array_equal(ours, wanted)


def test_embeddings_leave_gradients_to_their_operations() -> None:
    starts, ids = mx.array([0, 3], dtype=mx.int32), mx.array([1, 2, 0])
    words, others, ones = draw(4, 8), [draw(2, 8), draw(5, 8)], mx.ones(8)
    found: list[mx.array | None] = []

    def embed(words: mx.array) -> mx.array:
        found.append(
            native.bert_embeddings(
                ids, starts, [words, *others], (ones, None), eps=EPS, dtype=mx.float32
            )
        )
        return words.sum()

    mx.grad(embed)(words)
    assert found == [None]
