"""add_swap_noise: cells come from their own column, as often as they should; recovery: what is usual."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bert_playground.compression.recover import EPOCHS_OF_RANDOM, RATE_OF_RANDOM, Recovery
from bert_playground.compression.student import LESSON, LESSON_OF_OTHER
from bert_playground.compression.swap_noise import (
    ENOUGH_ROWS,
    MOST_COPIES,
    SWAP_SHARE,
    add_swap_noise,
    count_copies,
)

FRAME = pl.DataFrame(
    {
        "id": range(1000),
        "a": [f"a{n}" for n in range(1000)],
        "b": [None if n % 2 else f"b{n}" for n in range(1000)],
        "same": ["x"] * 1000,
        "target": [n % 2 for n in range(1000)],
    }
)


def test_cells_are_swapped_within_their_column() -> None:
    noised = add_swap_noise(FRAME, ["a", "b", "same"], 3, seed=1)
    assert noised.height == 3000
    assert noised.schema == FRAME.schema
    assert_frame_equal(
        noised.select("id", "same", "target"), pl.concat([FRAME] * 3).select("id", "same", "target")
    )
    for name in ("a", "b"):
        assert set(noised[name]) <= set(FRAME[name])
    is_swapped = noised["a"] != pl.concat([FRAME["a"]] * 3)
    assert abs(is_swapped.mean() - SWAP_SHARE) < 0.03
    first, second = noised[:1000], noised[1000:2000]
    assert not first.equals(second)
    assert_frame_equal(noised, add_swap_noise(FRAME, ["a", "b", "same"], 3, seed=1))


@pytest.mark.parametrize("columns", [["a"], ["a", "same"], []])
def test_one_column_gives_no_new_rows(columns: list[str]) -> None:
    assert add_swap_noise(FRAME, columns, 3, seed=0).height == 0


def test_large_tables_are_copied_less() -> None:
    assert count_copies(100) == MOST_COPIES
    assert count_copies(ENOUGH_ROWS // 2) == 2
    assert count_copies(10 * ENOUGH_ROWS) == 1


def test_what_is_usual() -> None:
    of_other = Recovery().filled(has_other_teacher=True, is_from_random=True, num_rows=1000)
    assert (of_other.epochs, of_other.learning_rate) == (EPOCHS_OF_RANDOM, RATE_OF_RANDOM)
    assert (of_other.lesson, of_other.copies) == (LESSON_OF_OTHER, MOST_COPIES)
    own = Recovery(epochs=1).filled(has_other_teacher=False, is_from_random=True, num_rows=1000)
    assert (own.epochs, own.learning_rate, own.lesson, own.copies) == (1, 1e-4, LESSON, 0)
