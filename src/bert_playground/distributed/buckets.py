"""join_arrays, split_arrays: many arrays as few large ones, as each exchange over a network has its price."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import mlx.core as mx

BUCKET_BYTES = 32 * 2**20


class Bucket(NamedTuple):
    """Arrays of one type, one after the other.

    Attributes:
        names: of the arrays.
        shapes: of the arrays, in the same order.
        values: [sum of their sizes].
    """

    names: list[str]
    shapes: list[tuple[int, ...]]
    values: mx.array


def join_arrays(arrays: Mapping[str, mx.array], bucket_bytes: int = BUCKET_BYTES) -> list[Bucket]:
    """The arrays in buckets of at most so many bytes, or of one array that is larger; in an order that depends on names and sizes alone."""
    groups: list[list[str]] = []
    filled: dict[mx.Dtype, tuple[list[str], int]] = {}
    for name, array in arrays.items():
        names, size = filled.get(array.dtype, ([], bucket_bytes + 1))
        if size + array.nbytes > bucket_bytes:
            names, size = [], 0
            groups.append(names)
        names.append(name)
        filled[array.dtype] = (names, size + array.nbytes)
    return [
        Bucket(
            names,
            [arrays[name].shape for name in names],
            mx.concatenate([arrays[name].reshape(-1) for name in names]),
        )
        for names in groups
    ]


def split_arrays(buckets: list[Bucket]) -> dict[str, mx.array]:
    """The arrays by name, as they went in."""
    arrays: dict[str, mx.array] = {}
    for names, shapes, values in buckets:
        start = 0
        for name, shape in zip(names, shapes, strict=True):
            end = start + math.prod(shape)
            arrays[name] = values[start:end].reshape(shape)
            start = end
    return arrays
