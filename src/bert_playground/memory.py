"""Memory: what the machine has, what the process reached, and how much MLX keeps for reuse."""

import os
import resource
import sys
from pathlib import Path

import mlx.core as mx

GIGABYTE = 2**30
LEAST_CACHE = 2**28


def raise_cache_limit() -> int:
    """Let MLX keep freed buffers on CPU; its own 32 MB there means fresh pages, slow to touch, at every step.

    Returns:
        The limit in bytes: a quarter of the memory, at most 8 GB. On a GPU MLX's own limit stays.
    """
    if mx.default_device() != mx.cpu:
        return 0
    limit = min(machine_memory_bytes() // 4, 8 * GIGABYTE)
    mx.set_cache_limit(limit)
    return limit


def fit_cache_limit() -> None:
    """Keep no more freed buffers on CPU than the arrays that were ever alive at once: batches differ in size, and more is waste."""
    if mx.default_device() == mx.cpu:
        mx.set_cache_limit(min(max(mx.get_peak_memory(), LEAST_CACHE), machine_memory_bytes() // 4))


def machine_memory_bytes() -> int:
    """The memory of this machine, or of the container it runs in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(allowed)) if allowed.isdigit() else total


def peak_memory_bytes() -> int:
    """The most memory that the process held: MLX's buffers on a GPU, the resident set on a CPU."""
    if mx.default_device() != mx.cpu:
        return mx.get_peak_memory()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
