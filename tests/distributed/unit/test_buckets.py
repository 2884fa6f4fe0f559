"""Buckets: arrays come out as they went in, and few arrays are exchanged."""

import mlx.core as mx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.distributed.buckets import join_arrays, split_arrays

shapes = st.lists(
    st.tuples(st.lists(st.integers(1, 4), max_size=3), st.sampled_from([mx.float32, mx.int32])),
    min_size=1,
    max_size=8,
)


@given(shapes, st.integers(1, 300))
def test_arrays_come_out_as_they_went_in(kinds: list, bucket_bytes: int) -> None:
    arrays = {
        f"a.{i}": mx.arange(int(np.prod(shape))).reshape(shape).astype(kind)
        for i, (shape, kind) in enumerate(kinds)
    }
    found = split_arrays(join_arrays(arrays, bucket_bytes))
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(np.array(found[name]), np.array(array))


def test_small_arrays_share_a_bucket_and_a_large_one_has_its_own() -> None:
    arrays = {
        "a": mx.zeros((10,)),
        "big": mx.zeros((100,)),
        "b": mx.zeros((3, 2)),
        "c": mx.zeros((4,)),
    }
    assert [bucket.names for bucket in join_arrays(arrays, 100)] == [["a"], ["big"], ["b", "c"]]
