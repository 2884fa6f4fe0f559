"""bert evaluate: evaluate a checkpoint on a labelled table, with the constant baseline."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint
from bert_playground.cli.utils.console import print_json, print_table

Data = Annotated[
    Path, typer.Option("--data", metavar="FILE", help="table with the target", show_default=False)
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME", help="one more metric, such as rmsle; may be repeated"
    ),
]


def evaluate(
    data: Data,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    metrics: Metrics = None,
    tta: options.Tta = 1,
    strict: options.Strict = False,
    batch_size: options.PredictBatchSize = 128,
    precision: options.PredictPrecisionName = options.PredictPrecision.AUTO,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Evaluate a checkpoint on a labelled table, with the constant baseline."""
    from bert_playground.ensemble_predictor import load_predictor
    from bert_playground.logs import set_up_logs
    from bert_playground.lookup import count_of
    from bert_playground.training.evaluation.evaluate import evaluate_table

    set_up_logs(log_level)
    predictor = load_predictor(
        choose_checkpoint(checkpoint, more_checkpoints),
        batch_size=batch_size,
        precision=precision.value,
    )
    found = evaluate_table(predictor, data, also=metrics or (), num_variants=tta, strict=strict)
    pipeline = predictor.pipeline
    if json:
        print_json(
            {
                "rows": found.num_rows,
                "metrics": found.metrics,
                "constant_answer": found.constant,
                "checkpoint": predictor.checkpoint,
                "trained_on": found.is_seen,
                "drift": [finding.to_dict() for finding in found.drift],
            }
        )
        return
    print_table(
        f"{pipeline.target} ({pipeline.task}) in {data}: {count_of(found.num_rows, 'row')}, by {predictor.checkpoint}",
        ("metric", "this model", "best constant answer"),
        [(name, value, found.constant.get(name)) for name, value in found.metrics.items()],
    )
