"""Memory: what the machine has and what of it is free, what the process reached, and how much is kept for reuse."""

import ctypes
import os
import re
import resource
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import mlx.core as mx

LEAST_CACHE = 2**28
LARGE_BUFFER = 2**18
MMAP_THRESHOLD, ARENA_MAX = -3, -8  # M_MMAP_THRESHOLD, M_ARENA_MAX of glibc's malloc.h


def fit_cache_limit(least: int = LEAST_CACHE) -> None:
    """Let MLX keep as much of its freed buffers on CPU as was ever alive at once; call it after each step.

    MLX's own 32 MB there means fresh pages, slow to touch, at every step. A generous limit from the start would keep what
    the first step frees and nothing reuses, and a copy of each of the many sizes that batches have.

    What was allowed before is not taken back, so that evaluation leaves training its buffers.

    Args:
        least: bytes that are kept in any case. Prediction needs none: its batches have ever other lengths, and reuse nothing
            that an earlier batch freed.
    """
    if mx.default_device() == mx.cpu:
        raise_cache_limit(min(max(mx.get_peak_memory(), least), machine_memory_bytes() // 4))


@lru_cache(maxsize=1)
def raise_cache_limit(limit: int) -> None:
    """Let MLX keep so many freed bytes, or as many as before; it takes 50 us, so the same again is not said again."""
    before = mx.set_cache_limit(limit)
    if before > limit:
        mx.set_cache_limit(before)


@lru_cache
def keep_large_buffers_apart() -> None:
    """Let glibc give each large buffer pages of its own, which go back when it is freed; other systems are left as they are.

    By itself it raises the size from which it does so, up to 32 MB, after which buffers of ever other sizes leave holes in
    one heap that grows for as long as training goes on.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    mallopt = _find_in_glibc("mallopt")
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGE_BUFFER)


def return_freed_memory() -> None:
    """Let glibc give back the pages that hold nothing any more; other systems are left as they are.

    For work in long parts: what a part frees lies in holes that the next part's buffers do not fit. Pages of their own for
    large buffers, as in training, would take prediction 1.8 times as long.
    """
    malloc_trim = _find_in_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def limit_arenas(number: int) -> None:
    """Let glibc keep so many heaps, and not eight for each core; other systems are left as they are.

    For a process that answers one table: each heap keeps the most that its threads ever held, so that a long table takes more
    than a short one. Call it before there are threads.

    Args:
        number: of heaps, such as that of cores.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    mallopt = _find_in_glibc("mallopt")
    if mallopt is not None:
        mallopt(ARENA_MAX, number)


def _find_in_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None: it has none of that name, as musl, or this is not Linux."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


@lru_cache
def machine_memory_bytes() -> int:
    """The memory of this machine, or of the container it runs in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(allowed)) if allowed.isdigit() else total


def available_memory_bytes() -> int:
    """The memory that could be taken now: of the device, or of the machine and the container around this process."""
    if mx.default_device() != mx.cpu:
        device = mx.device_info()
        sizes = (device.get(name) for name in ("max_recommended_working_set_size", "memory_size"))
        total = next((int(size) for size in sizes if size), mx.get_memory_limit())
        return total - mx.get_active_memory()
    left = machine_memory_bytes() - peak_memory_bytes()
    meminfo = Path("/proc/meminfo")
    found = meminfo.exists() and re.search(
        r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(encoding="ascii"), re.MULTILINE
    )
    return min(left, int(found[1]) * 1024) if found else left // 2


def peak_memory_bytes() -> int:
    """The most memory that the process held: MLX's buffers on a GPU, the resident set on a CPU."""
    if mx.default_device() != mx.cpu:
        return mx.get_peak_memory()
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss begins at what the parent process had reached
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
