"""bert data compare: what differs between a training table and another, and whether a model can tell them apart."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json, print_lines, print_table

Train = Annotated[
    Path, typer.Argument(metavar="TRAIN", help="the training table", show_default=False)
]
Test = Annotated[
    Path,
    typer.Argument(
        metavar="TEST", help="the table to compare with it, such as test.csv", show_default=False
    ),
]
MOST_COLUMNS = 10


@options.takes_settings("--target --id-column --task")
def compare(
    context: typer.Context,
    train: Train,
    test: Test,
    strict: options.Strict = False,
    json: options.Json = False,
) -> None:
    """Compare a table with the training table: spelling, missing and unseen values, distributions, adversarial validation."""
    from bert_playground.data.drift.tables import compare_tables
    from bert_playground.data.prepare import choose_text_options
    from bert_playground.data.schema.decide import decide
    from bert_playground.data.schema.sampling import read_within
    from bert_playground.logs import set_up_logs

    set_up_logs(None)
    asked = options.read_config(context)[0].data
    frame, _ = read_within(train, seed=0, is_drawn=asked.streaming)
    other, _ = read_within(test, seed=0, is_drawn=asked.streaming)
    schema = decide(frame, asked, other.columns)
    found = compare_tables(
        frame, other, schema, choose_text_options(asked), strict=strict, where=str(test)
    )
    if json:
        print_json(
            {
                "rows": found.num_rows,
                "drift": [finding.to_dict() for finding in found.findings],
                "roc_auc": found.roc_auc,
                "columns": dict(found.columns),
            }
        )
        return
    print_lines([*schema.notes, ""])
    if not found.findings:
        print_lines([f"{test} is written and distributed as {train}"])
    if found.roc_auc is None:
        print_lines(["too few rows for a model that tells the tables apart"])
        return
    print_lines(
        [
            f"adversarial validation: ROC-AUC {found.roc_auc:.3f} (0.5: the tables cannot be told apart)"
        ]
    )
    print_table("by column, alone", ("column", "ROC-AUC"), found.columns[:MOST_COLUMNS])
