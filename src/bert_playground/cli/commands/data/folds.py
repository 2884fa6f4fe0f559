"""bert data folds: assign rows to cross-validation folds, in a file that every model shares."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.commands.data.describe import Table
from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines

NumFolds = Annotated[int, typer.Option("--folds", metavar="K", min=2, help="number of folds")]
Output = Annotated[
    Path, typer.Option("--output", metavar="FILE", help="CSV to write; - is standard output")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="random seed of the assignment")]


@options.takes_settings("--split --group-column --time-column --target --id-column --task")
def folds(
    context: typer.Context,
    table: Table,
    folds: NumFolds = 5,
    output: Output = Path("folds.csv"),
    seed: Seed = 0,
    json: options.Json = False,
) -> None:
    """Assign rows to cross-validation folds; `data.folds` and `data.fold` train and validate by the file."""
    import numpy as np

    from bert_playground.cli.utils.output import beside_output, check_output
    from bert_playground.data.prepare import write_table_folds
    from bert_playground.logs import set_up_logs

    set_up_logs(None)
    check_output(output, [table], json=json)
    asked = options.read_config(context)[0].data
    section = asked.model_copy(update={"train": table, "folds": None})
    written, statements = write_table_folds(section, folds, seed, output)
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
                "statements": list(statements),
            }
        )
        return
    always = f", {numbers.null_count()} in every training part" if numbers.null_count() else ""
    with beside_output(output):
        print_lines(
            [
                *statements,
                f"rows of each fold: {', '.join(map(str, counts))}{always}",
                f"train on it with data.folds: {output} and data.fold: 0 in a config file",
                f"written to {output}",
            ]
        )
