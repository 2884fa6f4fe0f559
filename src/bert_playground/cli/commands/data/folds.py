"""bert data folds: deal the rows of a table to folds, in a file that every model shares."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bert_playground.cli.commands.data.describe import Table
from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines

NumFolds = Annotated[int, typer.Option("--folds", metavar="K", min=2, help="folds to deal to")]
Output = Annotated[Path, typer.Option("--output", metavar="FILE", help="CSV to write")]
Split = Annotated[
    Literal["auto", "stratified", "grouped", "time", "stratified_grouped"],
    typer.Option("--split", metavar="NAME", help="stratified, grouped, time or stratified_grouped"),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group-column",
        metavar="COLUMN",
        help="rows that share it stay together (default: inferred and stated)",
        show_default=False,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time-column",
        metavar="COLUMN",
        help="when rows happened; each fold is judged by earlier ones",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="deals the rows")]


def folds(
    table: Table,
    folds: NumFolds = 5,
    output: Output = Path("folds.csv"),
    split: Split = "auto",
    group_column: Group = None,
    time_column: Time = None,
    target: options.Target = None,
    id_column: options.IdColumn = None,
    task: options.TaskName = None,
    seed: Seed = 0,
    json: options.Json = False,
) -> None:
    """Write which row is in which fold; `data.folds` and `data.fold` train and validate by it."""
    import numpy as np

    from bert_playground.config.schema import DataSection
    from bert_playground.data.prepare import write_table_folds
    from bert_playground.logs import set_up_logs

    set_up_logs(None)
    asked = {
        "target": target,
        "id_column": id_column,
        "task": task,
        "group_column": group_column,
        "time_column": time_column,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    section = DataSection(train=table, split=split, **given)
    written, said = write_table_folds(section, folds, seed, output)
    numbers = written[:, 1]
    counts = np.bincount(numbers.drop_nulls().to_numpy(), minlength=folds).tolist()
    if json:
        print_json(
            {
                "output": output,
                "rows": written.height,
                "columns": written.columns,
                "rows_of_fold": counts,
                "always_trained_on": numbers.null_count(),
                "statements": list(said),
            }
        )
        return
    always = f", {numbers.null_count()} in every training part" if numbers.null_count() else ""
    print_lines(
        [
            *said,
            f"rows of each fold: {', '.join(map(str, counts))}{always}",
            f"written to {output}; train on it with data.folds: {output} and data.fold: 0 in a config file",
        ]
    )
