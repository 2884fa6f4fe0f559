"""bert predict: answer a test table and write the CSV that a competition wants."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_json, print_lines, spell

if TYPE_CHECKING:
    from polars import DataFrame, Series

    from bert_playground.inference import Predictor

Test = Annotated[
    Path, typer.Option("--test", metavar="FILE", help="CSV to answer", show_default=False)
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
    batch_size: options.PredictBatchSize = 128,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Answer the rows of a test CSV and write the submission."""
    from bert_playground.data.core.table import read_table, require_columns
    from bert_playground.data.kaggle.submission import write_submission
    from bert_playground.inference import Predictor
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    predictor = Predictor.load(
        choose_checkpoint(checkpoint, more_checkpoints),
        batch_size=batch_size,
        precision=precision.value,
    )
    pipeline = predictor.pipeline
    frame = read_table(test)
    if pipeline.id_column is not None:
        require_columns(frame, [pipeline.id_column], str(test))
    written = write_submission(
        output,
        None if pipeline.id_column is None else frame[pipeline.id_column],
        _answers(predictor, frame, sample, proba=proba),
        id_column=pipeline.id_column,
        target=pipeline.target,
        sample=sample,
    )
    if json:
        print_json(
            {
                "output": output,
                "rows": written.height,
                "columns": written.columns,
                "checkpoint": predictor.checkpoint,
            }
        )
    else:
        print_lines(
            [
                f"{written.height} answers by {predictor.checkpoint}",
                *_summary(written),
                f"written to {output}",
            ]
        )


def _answers(
    predictor: "Predictor", frame: "DataFrame", sample: Path | None, *, proba: bool
) -> "DataFrame | Series":
    """Labels; or probabilities, one column per class, or P(class 1) alone where the sample has one answer column."""
    from bert_playground.data.core.table import read_table

    pipeline = predictor.pipeline
    if proba and not pipeline.classes:
        raise ValueError(
            f"{pipeline.target} is a number and has no probabilities; leave out --proba"
        )
    scores = predictor.predict(frame)
    if not proba:
        return pipeline.decode(scores)
    probabilities = pipeline.probabilities(scores)
    if (
        sample is not None
        and pipeline.task == "binary"
        and pipeline.target in read_table(sample).columns
    ):
        return probabilities[:, -1]
    return probabilities


def _summary(written: "DataFrame") -> list[str]:
    """What the answers are like, one line per answer column."""
    lines = []
    for column in written.iter_columns():
        if column.name == written.columns[0]:
            continue
        counts = column.value_counts(sort=True)
        if column.dtype.is_float() or counts.height > 20:
            least, middle, most = map(spell, (column.min(), column.median(), column.max()))
            lines.append(f"  {column.name}: from {least} to {most}, median {middle}")
        else:
            shares = ", ".join(f"{row[0]} in {row[1]} rows" for row in counts.rows())
            lines.append(f"  {column.name}: {shares}")
    return lines
