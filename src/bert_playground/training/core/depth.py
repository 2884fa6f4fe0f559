"""depth_of, head_depth_of: the layers of a model, counted from the embeddings."""

import mlx.nn as nn


def depth_of(name: str, head_depth: int) -> int:
    """The layer of a parameter; 0: the embeddings; 1 to L: the encoder's layers; L + 1: its last norm and the head.

    Args:
        name: dotted, as in the model: "encoder.layers.3.attention.qkv.weight".
        head_depth: L + 1.
    """
    if not name.startswith("encoder."):
        return head_depth
    part, *inside = name.removeprefix("encoder.").split(".")
    if part == "layers":
        return int(inside[0]) + 1
    return 0 if part in ("embeddings", "numbers") else head_depth


def head_depth_of(model: nn.Module) -> int:
    """The depth of the head: one more than the encoder has layers."""
    return len(model.encoder.layers) + 1
