"""The command that a range test suggests is the one that was typed, with the rate."""

import pytest

from bert_playground.cli.utils.range_test import with_rate


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--find-lr", "--train", "a b.csv"],
        ["train", "--lr", "0.1", "--train", "a b.csv", "--find-lr"],
        ["train", "--lr=0.1", "--find-lr", "--train", "a b.csv"],
    ],
)
def test_the_rate_takes_the_place_of_the_test(words: list[str]) -> None:
    assert with_rate(words, 0.00063) == ["train", "--train", "a b.csv", "--lr", "0.00063"]
