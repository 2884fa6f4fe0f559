"""bert predict: predict a test table and write the submission."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_json, print_lines, spell

if TYPE_CHECKING:
    from polars import DataFrame

Test = Annotated[
    Path, typer.Option("--test", metavar="FILE", help="table to predict", show_default=False)
]
Output = Annotated[Path, typer.Option("--output", metavar="FILE", help="CSV to write")]
Sample = Annotated[
    Path | None,
    typer.Option(
        "--sample", metavar="FILE", help="sample submission to check against", show_default=False
    ),
]
Proba = Annotated[
    bool,
    typer.Option("--proba", metavar="", help="write probabilities, not labels", show_default=False),
]


def predict(
    test: Test,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    output: Output = Path("submission.csv"),
    sample: Sample = None,
    proba: Proba = False,
    tta: options.Tta = 1,
    strict: options.Strict = False,
    batch_size: options.PredictBatchSize = 128,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Predict the rows of a test table and write the submission."""
    from bert_playground.data.kaggle.submission import write_parts
    from bert_playground.data.reading.table import read_table
    from bert_playground.ensemble_predictor import load_predictor
    from bert_playground.logs import set_up_logs
    from bert_playground.lookup import count_of
    from bert_playground.predict_table import predict_table

    set_up_logs(log_level)
    predictor = load_predictor(
        choose_checkpoint(checkpoint, more_checkpoints),
        batch_size=batch_size,
        precision=precision.value,
    )
    drift = predictor.pipeline.watch_drift()
    parts = predict_table(
        predictor,
        test,
        probabilities=proba,
        sample_columns=() if sample is None else read_table(sample).columns,
        num_variants=tta,
        drift=drift,
        strict=strict,
    )
    written = write_parts(output, parts, target=predictor.pipeline.target, sample=sample)
    if json:
        print_json(
            {
                "output": output,
                "rows": written.height,
                "columns": written.columns,
                "checkpoint": predictor.checkpoint,
                "drift": [finding.to_dict() for finding in drift.findings()],
            }
        )
    else:
        print_lines(
            [
                f"{count_of(written.height, 'answer')} by {predictor.checkpoint}",
                *_summary(written),
                f"written to {output}",
            ]
        )


def _summary(written: "DataFrame") -> list[str]:
    """What the answers are like, one line per answer column."""
    from bert_playground.lookup import count_of

    lines = []
    for column in written.iter_columns():
        if column.name == written.columns[0]:
            continue
        counts = column.alias("answer").value_counts(sort=True)  # a column may be called count
        if written.height == 1:
            lines.append(f"  {column.name}: {spell(column[0])} in the only row")
        elif column.dtype.is_float() or counts.height > 20:
            least, middle, most = map(spell, (column.min(), column.median(), column.max()))
            lines.append(f"  {column.name}: from {least} to {most}, median {middle}")
        else:
            shares = ", ".join(f"{row[0]} in {count_of(row[1], 'row')}" for row in counts.rows())
            lines.append(f"  {column.name}: {shares}")
    return lines
