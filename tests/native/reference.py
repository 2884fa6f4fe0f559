"""The operations and their gradients in f64: each gives its outputs, and a function from cotangents to gradients."""

from collections.abc import Callable, Iterator
from math import erf, pi

import numpy as np

Array = np.ndarray
_erf = np.vectorize(erf, otypes=[np.float64])


def gelu(z: Array) -> tuple[Array, Array]:
    """Value and derivative of the erf form."""
    below = (1 + _erf(z / 2**0.5)) / 2 if z.size else z
    return z * below, below + z * np.exp(-z * z / 2) / (2 * pi) ** 0.5


def silu(z: Array) -> tuple[Array, Array]:
    below = 1 / (1 + np.exp(-z))
    return z * below, below + z * below * (1 - below)


def activation(z: Array, name: str) -> tuple[Array, Callable[[Array], Array]]:
    if name == "none":
        return z, lambda dy: dy
    if name == "gelu":
        value, slope = gelu(z)
        return value, lambda dy: dy * slope
    first, gate = np.split(z, 2, axis=-1)
    value, slope = (gelu if name == "geglu" else silu)(first)
    return value * gate, lambda dy: np.concatenate([dy * slope * gate, dy * value], axis=-1)


def linear(
    x: Array, weight: Array, bias: Array | None, name: str
) -> tuple[Array, Callable[[Array], list[Array]]]:
    y, back = activation(x @ weight.T + (0 if bias is None else bias), name)

    def backward(dy: Array) -> list[Array]:
        dz = back(dy)
        return [dz @ weight, dz.T @ x, *([] if bias is None else [dz.sum(axis=0)])]

    return y, backward


def norm(
    h: Array, weight: Array, bias: Array | None, eps: float, rms: bool
) -> tuple[Array, Callable[[Array], list[Array]]]:
    centred = h if rms else h - h.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    normal = centred * scale
    y = normal * weight + (0 if bias is None else bias)

    def backward(dy: Array) -> list[Array]:
        d = dy * weight
        dh = d - normal * (d * normal).mean(axis=-1, keepdims=True)
        if not rms:
            dh = dh - d.mean(axis=-1, keepdims=True)
        gains = [(dy * normal).sum(axis=0), *([] if bias is None else [dy.sum(axis=0)])]
        return [dh * scale, *gains]

    return y, backward


def rotate(x: Array, cosines: Array, sines: Array, interleaved: bool) -> Array:
    """Turns pairs of [T, D]; with negative sines, back."""
    half = x.shape[-1] // 2
    first, second = (x[:, ::2], x[:, 1::2]) if interleaved else (x[:, :half], x[:, half:])
    turned = first * cosines - second * sines, second * cosines + first * sines
    if interleaved:
        return np.stack(turned, axis=-1).reshape(x.shape)
    return np.concatenate(turned, axis=-1)


def attention(
    qkv: Array,
    lengths: list[int],
    num_heads: int,
    half_window: int = -1,
    tables: tuple[Array, Array] | None = None,
    interleaved: bool = False,
) -> tuple[Array, Callable[[Array], Array]]:
    """Each sequence within itself; tokens behind the last one give zeros."""
    width = qkv.shape[1] // 3
    size = width // num_heads
    out = np.zeros((len(qkv), width))
    kept = []
    for rows in _runs(lengths):
        length = rows.stop - rows.start
        turn = _turning(tables, length, interleaved)
        distance = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
        hidden = distance > half_window if half_window >= 0 else distance < 0
        for head in range(num_heads):
            columns = [
                slice(i * width + head * size, i * width + (head + 1) * size) for i in (0, 1, 2)
            ]
            query, key, value = (qkv[rows, column] for column in columns)
            query, key = turn(query, 1), turn(key, 1)
            scores = np.where(hidden, -np.inf, query @ key.T * size**-0.5)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            out[rows, columns[0]] = weights @ value
            kept.append((rows, columns, query, key, value, weights, turn))

    def backward(dout: Array) -> Array:
        dqkv = np.zeros_like(qkv)
        for rows, columns, query, key, value, weights, turn in kept:
            d = dout[rows, columns[0]]
            dweights = d @ value.T
            dscores = weights * (dweights - (dweights * weights).sum(axis=1, keepdims=True))
            dqkv[rows, columns[0]] = turn(dscores @ key * size**-0.5, -1)
            dqkv[rows, columns[1]] = turn(dscores.T @ query * size**-0.5, -1)
            dqkv[rows, columns[2]] = weights.T @ d
        return dqkv

    return out, backward


def _runs(lengths: list[int]) -> Iterator[slice]:
    ends = np.cumsum(lengths)
    return (slice(end - length, end) for end, length in zip(ends, lengths, strict=True) if length)


def _turning(
    tables: tuple[Array, Array] | None, length: int, interleaved: bool
) -> Callable[[Array, int], Array]:
    if tables is None:
        return lambda x, sign: x
    cosines, sines = (table[:length] for table in tables)
    return lambda x, sign: rotate(x, cosines, sign * sines, interleaved)


def cross_entropy(logits: Array, labels: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Rows with a negative label count nothing."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    counts = labels >= 0
    one_hot = np.eye(logits.shape[-1])[np.maximum(labels, 0)]
    losses = np.where(counts, -np.log((probabilities * one_hot).sum(axis=-1)), 0)
    return losses, lambda d: (probabilities - one_hot) * (d * counts)[:, None]
