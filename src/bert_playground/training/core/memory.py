"""Precision, gradient checkpointing and MLX's buffer cache."""

import os

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels

GIGABYTE = 2**30


def set_precision(model: nn.Module, precision: str) -> str:
    """Choose the type of the activations; parameters, gradients and optimizer state stay f32.

    Args:
        model: its `encoder.dtype` is set.
        precision: "f32", "bf16", or "auto" for bf16 where the machine computes it faster.

    Returns:
        "f32" or "bf16".
    """
    dtype = kernels.activation_dtype(precision)
    model.encoder.dtype = dtype
    return "bf16" if dtype == mx.bfloat16 else "f32"


def use_gradient_checkpointing(model: nn.Module) -> None:
    """Compute each layer again in the backward pass instead of keeping what it held: less memory, about 30 % slower."""
    model.encoder.gradient_checkpointing = True


def raise_cache_limit() -> int:
    """Let MLX keep freed buffers on CPU; its own 32 MB there means fresh pages, slow to touch, at every step.

    Returns:
        The limit in bytes: a quarter of the memory, at most 8 GB. On a GPU MLX's own limit stays.
    """
    if mx.default_device() != mx.cpu:
        return 0
    limit = min(memory_bytes() // 4, 8 * GIGABYTE)
    mx.set_cache_limit(limit)
    return limit


def memory_bytes() -> int:
    """The memory of this machine, or of the container it runs in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:  # noqa: PTH123 (not a user's path)
            allowed = file.read().strip()
    except OSError:
        return total
    return min(total, int(allowed)) if allowed.isdigit() else total
