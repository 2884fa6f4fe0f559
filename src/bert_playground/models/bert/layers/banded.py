"""Local attention in blocks: the queries of a block look at the keys of it and its two neighbours.

Time and memory grow with T times the window instead of T times T (Beltagy et al. 2020, arXiv 2004.05150).
"""

import mlx.core as mx

MIN_BLOCK = 32  # below it, products become too small to be worth their overhead


def block_size(half_window: int) -> int:
    """Tokens per block: no less than the half window, so that one neighbour on each side is enough."""
    return max(half_window, MIN_BLOCK)


def is_banded(num_tokens: int, half_window: int | None) -> bool:
    """Whether blocks are cheaper than the whole row: each block of queries looks at three of keys."""
    return half_window is not None and num_tokens > 3 * block_size(half_window)


def band_mask(real: mx.array | None, num_tokens: int, half_window: int) -> mx.array:
    """Which keys of the three blocks each query may see; every query sees itself, padding too.

    Args:
        real: [B, T], true on real tokens; None: all are real.
        num_tokens: T.
        half_window: keys at a greater distance are hidden.

    Returns:
        Booleans [B or 1, T / block, 1, block, 3 block], T rounded up.
    """
    size = block_size(half_window)
    if real is None:
        real = mx.ones((1, num_tokens), dtype=mx.bool_)
    # Tokens as a sequence of one head and one dimension; padding of whole blocks is false.
    keys = blocks_with_neighbours(real.astype(mx.uint8)[:, None, :, None], size)
    keys = keys.reshape(real.shape[0], -1, 1, 1, 3 * size).astype(mx.bool_)
    distance = mx.abs(mx.arange(size)[:, None] - (mx.arange(3 * size) - size)[None])
    return ((distance <= half_window) & keys) | (distance == 0)


def blocks(x: mx.array, size: int) -> mx.array:
    """[B, N, T, D] as [B * T / size, N, size, D], T rounded up with zeros."""
    rows, heads, num_tokens, width = x.shape
    missing = -num_tokens % size
    x = mx.pad(x, [(0, 0), (0, 0), (0, missing), (0, 0)]) if missing else x
    x = x.reshape(rows, heads, -1, size, width).swapaxes(1, 2)
    return x.reshape(-1, heads, size, width)


def blocks_with_neighbours(x: mx.array, size: int) -> mx.array:
    """[B, N, T, D] as [B * T / size, N, 3 size, D]: each block between the one before and the one after, or zeros."""
    rows, heads, _, width = x.shape
    x = blocks(x, size).reshape(rows, -1, heads, size, width)
    x = mx.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)])
    x = mx.concatenate([x[:, :-2], x[:, 1:-1], x[:, 2:]], axis=3)
    return x.reshape(-1, heads, 3 * size, width)


def join(x: mx.array, num_rows: int, num_tokens: int) -> mx.array:
    """Undo `blocks`."""
    _, heads, size, width = x.shape
    x = x.reshape(num_rows, -1, heads, size, width).swapaxes(1, 2)
    return x.reshape(num_rows, heads, -1, width)[:, :, :num_tokens]
