"""pairwise: every two values meet, in far fewer rows than the product has."""

from itertools import combinations

import pytest

from tests.pairwise import pairwise

FACTORS = [
    (["a", "b"], [1, 2, 3]),
    (["a", "b"], [1, 2, 3, 4, 5, 6], [True, False], "wxyz", [None, 0]),
    (range(13), "abc", "wxyz"),
]


@pytest.mark.parametrize("factors", FACTORS)
def test_every_two_values_of_two_factors_meet(factors: tuple) -> None:
    rows = pairwise(*factors)
    for i, j in combinations(range(len(factors)), 2):
        met = {(row[i], row[j]) for row in rows}
        assert met == {(a, b) for a in factors[i] for b in factors[j]}


def test_it_is_short_and_always_the_same() -> None:
    assert [len(pairwise(*factors)) for factors in FACTORS] == [6, 26, 52]
    assert pairwise(*FACTORS[1]) == pairwise(*FACTORS[1])
    assert len(set(pairwise(*FACTORS[2]))) == 52
