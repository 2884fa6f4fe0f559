"""pairwise: few combinations of factors in which every two values meet."""

from collections.abc import Collection, Iterator
from itertools import combinations, product
from typing import Any

Pair = tuple[tuple[int, Any], tuple[int, Any]]


def pairwise(*factors: Collection[Any]) -> list[tuple[Any, ...]]:
    """A covering array of strength two: each value of a factor stands beside each value of every other at least once.

    Greedy over the whole product, so the same factors always give the same list; of two factors it is the product.
    """
    rest = list(product(*factors))
    unmet = {pair for row in rest for pair in _pairs(row)}
    chosen = []
    while unmet:
        best = max(rest, key=lambda row: sum(pair in unmet for pair in _pairs(row)))
        rest.remove(best)
        unmet.difference_update(_pairs(best))
        chosen.append(best)
    return chosen


def _pairs(row: tuple[Any, ...]) -> Iterator[Pair]:
    return combinations(enumerate(row), 2)
