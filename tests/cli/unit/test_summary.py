"""bert predict says how many rows each answer has, in words that fit their number."""

import polars as pl
import pytest

from bert_playground.cli.commands.core.predict import _summary


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["yes"], "  y: yes in the only row"),
        ([2.5], "  y: 2.5 in the only row"),
        (["yes", "no", "yes"], "  y: yes in 2 rows, no in 1 row"),
        ([1.0, 3.0], "  y: from 1 to 3, median 2"),
    ],
)
def test_the_number_of_rows_is_said_in_words_that_fit(answers, said):
    assert _summary(pl.DataFrame({"id": range(len(answers)), "y": answers})) == [said]
