"""run_fused: a whole encoder layer as one native operation, where nothing in it is trained or adapted."""

from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from bert_playground import kernels
from bert_playground.models.bert.layers.attention import SelfAttention
from bert_playground.models.bert.layers.feedforward import FeedForward, GatedFeedForward
from bert_playground.models.tokenwise import Linear, Norm


class LayerNorms(NamedTuple):
    """The norms of a layer: pre-norm layers have none after the feed-forward, post-norm ones none before attention."""

    before: Norm | None
    between: Norm
    after: Norm | None


def run_fused(
    attention: SelfAttention,
    feed_forward: FeedForward | GatedFeedForward,
    norms: LayerNorms,
    x: mx.array,
    cu_seqlens: mx.array | None,
    residual: mx.array | None = None,
) -> list[mx.array] | None:
    """Bit for bit what the layer's parts give one by one; None where they have to be asked themselves.

    Each operation costs MLX a change of threads, which for a few rows takes longer than the operation.

    Args:
        attention: of the layer.
        feed_forward: of the layer.
        norms: of the layer.
        x: [N, H], packed.
        cu_seqlens: where rows start and end; None: they are padded.
        residual: [N, H], what the norm before attention adds to x.

    Returns:
        The layer's output with a norm after the feed-forward; without one an update, and the stream that it belongs to.
    """
    native = kernels.native_module()
    if native is None or cu_seqlens is None or not kernels.serves(x.dtype):
        return None
    products = _packed_products(attention, feed_forward, x.dtype)
    if products is None or not _are_plain(norms):
        return None
    rotary = attention._rotary
    outputs: list[mx.array] = native.encoder_layer(
        x,
        cu_seqlens,
        products,
        [norm and (norm.weight, norm.get("bias")) for norm in norms],
        residual=residual,
        num_heads=attention.num_heads,
        half_window=-1 if attention.half_window is None else attention.half_window,
        cosines=rotary and rotary.cosines,
        sines=rotary and rotary.sines,
        activation=feed_forward.fused_activation,
        eps=norms.between.eps,
        rms=norms.between.rms,
        is_int8=attention.qkv.packing == mx.int8,
    )
    return outputs


def _packed_products(
    attention: nn.Module, feed_forward: nn.Module, dtype: mx.Dtype
) -> list[tuple[mx.array, int, Any]] | None:
    """Weight, rows and bias of qkv, output, up and down; None unless all are plain and packed in the same way."""
    if type(attention) is not SelfAttention:
        return None
    activation = getattr(feed_forward, "fused_activation", None)
    if type(feed_forward) not in (FeedForward, GatedFeedForward) or activation is None:
        return None
    layers = (attention.qkv, attention.output, feed_forward.up, feed_forward.down)
    products: list[tuple[mx.array, int, Any]] = []
    for layer, then in zip(layers, ("none", "none", activation, "none"), strict=True):
        if type(layer) is not Linear or layer.packing != layers[0].packing:
            return None
        packed = layer.packed(dtype, then)
        if packed is None:
            return None
        products.append((packed.packed, packed.num_outputs, layer.get("bias")))
    return products


def _are_plain(norms: LayerNorms) -> bool:
    """Whether all are of one kind that the kernels know."""
    there = [norm for norm in norms if norm is not None]
    kinds = {(type(norm), norm.eps, norm.rms) for norm in there}
    return len(kinds) == 1 and type(there[0]) is Norm
