"""bert evaluate: score a checkpoint on a table whose answers are known."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_json, print_table

Data = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="CSV with the target", show_default=False)
]


def evaluate(
    data: Data,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    tta: options.Tta = 1,
    batch_size: options.PredictBatchSize = 128,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Score a checkpoint on a CSV that has the target column."""
    from bert_playground.data.core.stream import is_large
    from bert_playground.data.core.table import read_table
    from bert_playground.data.streamed import iterate_frames
    from bert_playground.inference import join_predictions
    from bert_playground.logs import set_up_logs
    from bert_playground.training.metrics.baseline import baseline_scores
    from bert_playground.training.metrics.multilabel import report_each
    from bert_playground.training.metrics.report import make_report
    from bert_playground.voting import load_predictor

    set_up_logs(log_level)
    predictor = load_predictor(
        choose_checkpoint(checkpoint, more_checkpoints),
        batch_size=batch_size,
        precision=precision.value,
    )
    pipeline = predictor.pipeline
    # Windows are cut from all rows of a series.
    is_streamed = pipeline.windows is None and is_large(data)
    frames = iterate_frames(data) if is_streamed else iter([read_table(data)])
    answer = join_predictions(
        [predictor.score(pipeline.rows_with_labels(frame), num_variants=tta) for frame in frames]
    )
    labels = answer.labels
    assert labels is not None  # the target column is there
    report = make_report(pipeline.task, decode=pipeline.in_units, thresholds=predictor.thresholds)
    # Several models or variants together have no loss of their own.
    loss = {} if answer.loss is None else {"loss": answer.loss}
    metrics = {**loss, **report(labels, answer.scores)}
    if pipeline.task == "multilabel":
        metrics |= report_each(labels, answer.scores, [str(name) for name in pipeline.classes])
    num_classes = len(pipeline.classes) or None
    constant = baseline_scores(labels, len(labels), num_classes, task=pipeline.task)
    baseline = report(labels, constant)
    if json:
        print_json(
            {
                "rows": len(labels),
                "metrics": metrics,
                "constant_answer": baseline,
                "checkpoint": predictor.checkpoint,
            }
        )
        return
    print_table(
        f"{pipeline.target} ({pipeline.task}) in {data}: {len(labels)} rows, by {predictor.checkpoint}",
        ("metric", "this model", "best constant answer"),
        [(name, value, baseline.get(name)) for name, value in metrics.items()],
    )
