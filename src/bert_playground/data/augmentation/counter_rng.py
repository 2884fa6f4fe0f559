"""Counter-based random numbers (as Philox): a pure function of seed, epoch and row number, however a table is cut."""

from functools import cache
from hashlib import blake2b

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_state(seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
    """The random state of each row, [R] uint64: what `uniform` and `normal` start from.

    Args:
        seed: of the run.
        epoch: every one has its own numbers.
        rows: [R] numbers of the rows in their table.
    """
    state = _absorb(np.zeros(1, np.uint64), np.array([seed]))
    return _absorb(_absorb(state, np.array([epoch])), np.asarray(rows))


def uniform(
    state: np.ndarray,
    purpose: str,
    place: int | np.ndarray = 0,
    *,
    repeats: np.ndarray | None = None,
) -> np.ndarray:
    """Numbers from 0 on and below 1 in f64, one for each state.

    Args:
        state: [R], see `row_state`.
        purpose: other words give other numbers.
        place: other places give other numbers, such as the number of a column.
        repeats: [R] how many numbers each state gives; `place` then has one entry for each of them.
    """
    state = _absorb(state, np.array([_number(purpose)], np.uint64))
    state = state if repeats is None else np.repeat(state, repeats)
    bits = _absorb(state, np.asarray(place))
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


def normal(state: np.ndarray, purpose: str, place: int = 0) -> np.ndarray:
    """Standard normal numbers, one for each state, by Box and Muller's method; see `uniform`."""
    first, second = (uniform(state, f"{purpose} {half}", place) for half in (1, 2))
    return np.asarray(np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second))


def permutation(state: np.ndarray, purpose: str, size: int) -> np.ndarray:
    """[size, R]: for each state the numbers 0 to size - 1 in an order of its own, all orders equally likely."""
    keys = np.stack([uniform(state, purpose, place) for place in range(size)])
    return np.asarray(keys.argsort(axis=0, kind="stable"))


def hash_columns(values: np.ndarray) -> np.ndarray:
    """[R] uint64, the same for rows of [R, L] whole numbers that are the same."""
    state = np.zeros(len(values), np.uint64)
    for column in values.T:
        state = _absorb(state, column)
    return state


def _absorb(state: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mix numbers into states by the finaliser of splitmix64 (Steele, Lea and Flood 2014), which maps 64 bits one to one."""
    with np.errstate(over="ignore"):  # arithmetic is modulo 2^64 on purpose
        z = state + GOLDEN * (values.astype(np.uint64) + np.uint64(1))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


@cache
def _number(purpose: str) -> int:
    return int.from_bytes(blake2b(purpose.encode(), digest_size=8).digest(), "little")
