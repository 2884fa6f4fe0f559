"""pair_rows: two runs on the rows that both have answered without having been trained on them."""

import numpy as np
import polars as pl

from bert_playground.run_record import RunRecord
from bert_playground.training.comparison.paired import Paired
from bert_playground.training.report.again import prepare_rows
from bert_playground.training.report.answers import Answers
from bert_playground.training.report.scored import score_run

Array = np.ndarray
FEWEST = 10  # rows, of which fewer show nothing


def pair_rows(record: RunRecord, first: RunRecord, name: str, first_name: str) -> list[Paired]:
    """Answer the validation rows of both runs again, and compare them row by row.

    Args:
        record: of the run that is judged.
        first: of the run that it is judged against.
        name: of the former.
        first_name: of the latter.

    Raises:
        FileNotFoundError: a table or checkpoint is not there any more.
        ValueError: they have no rows in common, or answer different questions.
    """
    asked = [(each.summary.task, each.summary.target) for each in (record, first)]
    if asked[0] != asked[1]:
        said = " and ".join(f"{target} ({task})" for task, target in asked)
        raise ValueError(f"they answer different questions, {said}")
    scored = [score_run(each, prepare_rows(each)) for each in (record, first)]
    mine, theirs = _match_rows(*(each.frame for each in scored))
    if len(mine) < FEWEST:
        raise ValueError(
            f"they share {len(mine)} rows that neither was trained on; give both the same data.split_seed, the same folds "
            "file, or the same --val table"
        )
    return [
        Paired.of(name, first_name, measure, (theirs_cost[theirs] - my_cost[mine]), "rows")
        for (measure, my_cost), (_, theirs_cost) in zip(
            measure_costs(scored[0].answers), measure_costs(scored[1].answers), strict=True
        )
    ]


def _match_rows(one: pl.DataFrame, other: pl.DataFrame) -> tuple[Array, Array]:
    """Numbers of the same rows in both tables, by all cells that both have; rows that stand twice are left out."""
    shared = [column for column in one.columns if column in other.columns]
    if not shared:
        raise ValueError("their tables share no column")
    keyed = [
        frame.select(shared).with_columns(pl.struct(shared).is_unique().alias("\0unique"))
        .with_row_index("\0row").filter(pl.col("\0unique")).drop("\0unique")
        for frame in (one, other)
    ]  # fmt: skip
    both = keyed[0].join(keyed[1], on=shared, how="inner", nulls_equal=True, suffix="\0other")
    return both["\0row"].to_numpy(), both["\0row\0other"].to_numpy()


def measure_costs(answers: Answers) -> list[tuple[str, Array]]:
    """What each row costs, [R], by the measure that its mean is; less is better.

    Accuracy stands for the part that is wrong, so that less of it means more accuracy.
    """
    if answers.in_units is not None:
        true, answered = answers.numbers
        errors = np.abs(answered - true).reshape(len(true), -1)
        return [
            ("mae", errors.mean(axis=1)),
            ("mean squared error", np.square(errors).mean(axis=1)),
        ]
    found = [("log_loss", answers.losses)]
    if answers.has_single_class:
        wrong = (answers.classes != answers.labels).astype(np.float64)
        found.insert(0, ("accuracy", wrong))
    return found
