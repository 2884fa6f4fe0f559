"""The choice of a batch size, by steps whose memory is known."""

import pytest

from bert_playground.training.batch_size import LARGEST, choose_batch_size


def choose(most_bytes: int, num_rows: int, *, base: int = 100, per_row: int = 10):
    """The choice where a step on n rows takes base + per_row * n, and the sizes that were tried."""
    tried: list[int] = []

    def peak_of(rows: int) -> int:
        tried.append(rows)
        return base + per_row * rows

    return choose_batch_size(peak_of, most_bytes, num_rows), tried


@pytest.mark.parametrize(("most", "expected"), [(110, 1), (419, 16), (420, 32), (1379, 64), (1380, 128)])  # fmt: skip
def test_it_is_the_largest_power_of_two_that_fits(most: int, expected: int) -> None:
    chosen, tried = choose(most, 10_000)
    assert chosen.rows == expected
    assert chosen.peak_bytes == 100 + 10 * expected <= most
    assert "twice as many would take more" in chosen.reason
    assert max(tried) == (expected if expected > 1 else 2)  # what would not fit is foreseen


@pytest.mark.parametrize(("num_rows", "expected"), [(7, 1), (63, 4), (64, 8), (715, 64), (10**6, LARGEST)])  # fmt: skip
def test_an_epoch_keeps_several_batches(num_rows: int, expected: int) -> None:
    chosen, _ = choose(10**9, num_rows)
    assert chosen.rows == expected
    assert "would allow more" in chosen.reason


def test_one_row_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="a step on one row takes"):
        choose(50, 1000)
