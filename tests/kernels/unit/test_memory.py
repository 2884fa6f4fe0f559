"""Memory: freed buffers are reused and bounded."""

import mlx.core as mx
import pytest

from bert_playground import kernels, memory


@pytest.fixture
def _own_limit():
    before = mx.set_cache_limit(2**25)
    yield
    mx.set_cache_limit(before)


@pytest.mark.native
@pytest.mark.usefixtures("_own_limit")
@pytest.mark.skipif(not kernels.is_native(), reason="the native kernels round sizes for reuse")
@pytest.mark.medium
def test_batches_of_many_sizes_do_not_fill_the_cache():
    weight, rows = mx.random.normal((256, 256)), mx.ones((2000, 256))
    mx.eval(weight, rows)
    mx.set_cache_limit(2**32)
    mx.clear_cache()
    for num_tokens in range(1000, 2000, 7):
        x = rows[:num_tokens]
        for _ in range(4):
            x = kernels.linear(x, weight)
        mx.eval(x)
        del x
    one_batch = 2000 * 256 * 4
    # Without rounding each of the 143 sizes would leave its own buffers behind.
    assert mx.get_cache_memory() < 40 * one_batch


@pytest.mark.usefixtures("_own_limit")
def test_the_cache_holds_no_more_than_was_ever_alive():
    memory.fit_cache_limit()
    limit = mx.set_cache_limit(2**25)
    assert memory.LEAST_CACHE <= limit <= memory.machine_memory_bytes() // 4
