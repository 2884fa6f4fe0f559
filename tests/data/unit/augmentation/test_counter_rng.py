"""Chance by counting: even, fresh for each seed, epoch, purpose and place, and the same however rows are cut."""

import itertools

import numpy as np
import pytest

from bert_playground.data.augmentation.counter_rng import (
    hash_columns,
    normal,
    permutation,
    row_state,
    uniform,
)

ROWS = np.arange(20_000)
STATE = row_state(0, 0, ROWS)


def test_a_row_draws_the_same_whatever_rows_are_beside_it() -> None:
    some = np.array([7, 19_999, 3])
    for draw in (
        lambda state: uniform(state, "a", 5),
        lambda state: normal(state, "a"),
        lambda state: permutation(state, "a", 4).T,
    ):
        np.testing.assert_array_equal(draw(row_state(0, 0, some)), draw(STATE)[some])


def test_numbers_are_even_and_those_of_neighbours_unrelated() -> None:
    drawn = uniform(STATE, "a")
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    # Chi-square of 19 degrees of freedom: beyond 43.8 once in a thousand.
    assert (np.square(counts - 1000) / 1000).sum() < 43.8
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / np.sqrt(len(ROWS))


@pytest.mark.parametrize(
    "other",
    [
        uniform(row_state(1, 0, ROWS), "a"),
        uniform(row_state(0, 1, ROWS), "a"),
        uniform(row_state(0, 0, ROWS + 1), "a"),
        uniform(STATE, "b"),
        uniform(STATE, "a", 1),
    ],
    ids=["seed", "epoch", "row", "purpose", "place"],
)
def test_everything_that_chance_hangs_on_gives_other_numbers(other: np.ndarray) -> None:
    first = uniform(STATE, "a")
    assert (first != other).all()
    assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(len(ROWS))


def test_seed_and_epoch_do_not_stand_in_for_each_other() -> None:
    states = [row_state(seed, epoch, ROWS) for seed in range(3) for epoch in range(3)]
    assert len(np.unique(np.concatenate(states))) == 9 * len(ROWS)


def test_normal_numbers_have_mean_0_and_deviation_1() -> None:
    drawn = normal(STATE, "a")
    assert abs(drawn.mean()) < 4 / np.sqrt(len(ROWS))
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * len(ROWS))
    assert abs((np.abs(drawn) < 1.959964).mean() - 0.95) < 4 * np.sqrt(0.05 * 0.95 / len(ROWS))


def test_all_orders_are_equally_likely() -> None:
    orders = permutation(STATE, "a", 3).T
    counts = [(orders == order).all(axis=1).sum() for order in itertools.permutations(range(3))]
    expected = len(ROWS) / 6
    assert sum(counts) == len(ROWS)
    assert sum((count - expected) ** 2 / expected for count in counts) < 20.5  # once in a thousand


def test_repeats_give_each_state_several_numbers_by_place() -> None:
    place = np.array([0, 1, 0, 0, 1, 2])
    drawn = uniform(STATE[:3], "a", place, repeats=np.array([2, 1, 3]))
    assert drawn[4] == uniform(STATE[2:3], "a", 1)[0]
    assert len(np.unique(drawn)) == 6


def test_equal_rows_of_numbers_hash_alike_and_others_do_not() -> None:
    values = np.array(list(itertools.product([0, 1], repeat=4)))
    hashed = hash_columns(np.concatenate([values, values[::-1]]))
    np.testing.assert_array_equal(hashed[:16], hashed[:15:-1])
    assert len(np.unique(hashed)) == 16
