"""bert predict says how many rows each answer has, in words that fit their number; bert train why a run ended early."""

import polars as pl
import pytest

from bert_playground.cli.commands.core.predict import _summary
from bert_playground.cli.utils.report import _end


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["yes"], "  y: yes in the only row"),
        ([2.5], "  y: 2.5 in the only row"),
        (["yes", "no", "yes"], "  y: yes in 2 rows, no in 1 row"),
        ([1.0, 3.0], "  y: from 1 to 3, median 2"),
        ([*range(100), 0, 0], "  y: from 0 to 99, median 48.5"),
        ([*range(100), 0, 0, 0], "  y: from 0 to 99, median 48"),
    ],
)
def test_the_number_of_rows_is_said_in_words_that_fit(answers, said):
    assert _summary(pl.DataFrame({"y": answers})) == [said]


def test_of_many_classes_the_most_frequent_are_named():
    answers = [f"c{number}" for number in range(22)] + ["c7", "c7", "c3"]
    (said,) = _summary(pl.DataFrame({"y": answers}).cast(pl.Categorical))
    assert said.startswith("  y: c7 in 3 rows, c3 in 2 rows, ")
    assert said.endswith(" in 1 row, and 2 rarer answers")


def test_an_early_end_and_updates_that_were_left_out_are_said():
    told = {"stop_reason": "", "skipped_steps": 0, "steps": 9}
    assert _end(told) == _end(told | {"stop_reason": "all steps taken"}) == []
    assert _end(told | {"stop_reason": "5 of 9 steps", "skipped_steps": 2}) == [
        "ended early: 5 of 9 steps",
        "2 of 9 updates were left out, as they were not finite",
    ]
