"""bert predict: predict a test table and write the submission."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_json, print_lines, spell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polars import DataFrame, Series

    from bert_playground.ensemble_predictor import EnsemblePredictor
    from bert_playground.inference import Predictor

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
    batch_size: options.PredictBatchSize = 128,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Predict the rows of a test table and write the submission."""
    from bert_playground.data.kaggle.submission import write_parts
    from bert_playground.ensemble_predictor import load_predictor
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    predictor = load_predictor(
        choose_checkpoint(checkpoint, more_checkpoints),
        batch_size=batch_size,
        precision=precision.value,
    )
    pipeline = predictor.pipeline
    written = write_parts(
        output,
        _parts(predictor, test, sample, tta, proba=proba),
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


def _parts(
    predictor: "Predictor | EnsemblePredictor",
    test: Path,
    sample: Path | None,
    tta: int,
    *,
    proba: bool,
) -> "Iterator[DataFrame]":
    """Ids and answers: of the whole table, or chunk by chunk where it is large."""
    from bert_playground.data.kaggle.submission import make_submission
    from bert_playground.data.reading.table import read_table
    from bert_playground.data.reading.table_stream import is_large
    from bert_playground.data.schema.sampling import iterate_frames

    pipeline = predictor.pipeline
    columns = [] if sample is None else read_table(sample).columns
    # Windows are cut from all rows of a series.
    is_streamed = pipeline.windows is None and is_large(test)
    first_row = 0
    for frame in iterate_frames(test) if is_streamed else [read_table(test)]:
        asked, ids = pipeline.prediction_rows(frame)
        yield make_submission(
            ids,
            _answers(predictor, asked, columns, tta, proba=proba),
            id_column=None if ids is None else ids.name,
            target=pipeline.target,
            is_named=not (proba and len(pipeline.targets) == 1),
            first_row=first_row,
        )
        first_row += frame.height


def _answers(
    predictor: "Predictor | EnsemblePredictor",
    frame: "DataFrame",
    columns: list[str],
    tta: int,
    *,
    proba: bool,
) -> "DataFrame | Series":
    """Answers, one column for each target; or probabilities, a column per class, or P(class 1) alone for such a sample."""
    pipeline = predictor.pipeline
    if proba and not pipeline.classes:
        raise ValueError(
            f"{pipeline.target} is a number and has no probabilities; leave out --proba"
        )
    scores = predictor.predict(frame, num_variants=tta)
    if not proba:
        answers = predictor.answers(scores)
        # A deviation beside the answer would not fit a sample that does not ask for it.
        extra = [name for name in answers.columns if name not in (*pipeline.targets, *columns)]
        return answers.drop(extra) if columns else answers
    probabilities = pipeline.probabilities(scores)
    if pipeline.task == "binary" and pipeline.target in columns:
        return probabilities[:, -1]
    return probabilities


def _summary(written: "DataFrame") -> list[str]:
    """What the answers are like, one line per answer column."""
    lines = []
    for column in written.iter_columns():
        if column.name == written.columns[0]:
            continue
        counts = column.alias("answer").value_counts(sort=True)  # a column may be called count
        if column.dtype.is_float() or counts.height > 20:
            least, middle, most = map(spell, (column.min(), column.median(), column.max()))
            lines.append(f"  {column.name}: from {least} to {most}, median {middle}")
        else:
            shares = ", ".join(f"{row[0]} in {row[1]} rows" for row in counts.rows())
            lines.append(f"  {column.name}: {shares}")
    return lines
