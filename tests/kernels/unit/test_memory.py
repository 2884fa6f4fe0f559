"""Memory: freed buffers are reused and bounded."""

import ctypes
import os
import subprocess
import sys

import mlx.core as mx
import pytest

from bert_playground import kernels, memory

# Prints how many buffers with pages of their own there are more after a second one, where a larger one was freed before.
COUNT_LARGE = """
import ctypes, sys
from bert_playground import memory

class Facts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes, libc.mallinfo2.restype = ctypes.c_void_p, [ctypes.c_void_p], Facts
if sys.argv[1] == "apart":
    memory.keep_large_buffers_apart()
libc.free(libc.malloc(8 * 2**20))
before = libc.mallinfo2().hblks
libc.malloc(2**20)
print(libc.mallinfo2().hblks - before)
"""

# Prints how many MB of freed small buffers the process holds, before and after they are given back.
COUNT_FREED = """
import ctypes
from bert_playground import memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 2**20
before = resident()
buffers = [libc.malloc(2**16) for _ in range(1600)]
for buffer in buffers:
    ctypes.memset(buffer, 1, 2**16)
for buffer in buffers[:-1]:  # the last one holds the heap's end
    libc.free(buffer)
held = resident() - before
memory.return_freed_memory()
print(held, resident() - before)
"""

# Prints how many heaps so many threads have that allocate at once.
COUNT_ARENAS = """
import ctypes, re, sys, threading
from bert_playground import memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
libc.fopen.argtypes, libc.malloc_info.argtypes = [ctypes.c_char_p] * 2, [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "limited":
    memory.limit_arenas(3)
num_threads = int(sys.argv[3])
barrier = threading.Barrier(num_threads + 1)
def allocate():
    libc.malloc(1000)
    barrier.wait()
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(num_threads)]
[thread.start() for thread in threads]
barrier.wait()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
barrier.wait()
print(len(re.findall("<heap nr", open(sys.argv[2]).read())))
"""


@pytest.fixture
def _own_limit():
    before = mx.set_cache_limit(2**25)
    memory.raise_cache_limit.cache_clear()
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


@pytest.mark.usefixtures("_own_limit")
@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="on a GPU MLX's own limit stays")
def test_prediction_keeps_what_was_alive_and_takes_nothing_from_training():
    memory.fit_cache_limit(least=0)
    peak = mx.set_cache_limit(2**25)
    assert peak == max(2**25, min(mx.get_peak_memory(), memory.machine_memory_bytes() // 4))
    memory.fit_cache_limit()
    memory.fit_cache_limit(least=0)
    assert mx.set_cache_limit(2**25) >= memory.LEAST_CACHE


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="asks glibc what it did",
)
@pytest.mark.parametrize(("form", "more"), [("apart", 1), ("as it is", 0)])
def test_large_buffers_get_pages_of_their_own(form: str, more: int):
    command = [sys.executable, "-c", COUNT_LARGE, form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == more


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="asks glibc for what it holds",
)
def test_freed_pages_go_back():
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FREED], capture_output=True, text=True, check=True
    )
    held, left = map(int, done.stdout.split())
    assert held >= 90
    assert left <= 10


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_info"),
    reason="asks glibc for its heaps",
)
def test_threads_share_so_many_heaps(tmp_path):
    environment = {name: os.environ[name] for name in os.environ if name != "MALLOC_ARENA_MAX"}

    def count(form: str) -> int:
        arguments = (form, str(tmp_path / "heaps.xml"), "20")
        command = [sys.executable, "-c", COUNT_ARENAS, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return int(done.stdout)

    assert count("limited") <= 3
    assert count("as it is") > 3
