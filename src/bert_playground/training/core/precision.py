"""Precision and gradient checkpointing: what a step costs in memory."""

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels


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
