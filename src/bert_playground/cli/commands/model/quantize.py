"""bert model quantize: quantize the weights of a checkpoint to 4 or 8 bits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_single_checkpoint
from bert_playground.cli.utils.console import (
    print_json,
    print_lines,
    print_result,
    print_table,
    program,
)

if TYPE_CHECKING:
    from bert_playground.training.evaluation.quantize import Quantized

Output = Annotated[
    Path, typer.Option("--output", metavar="FOLDER", help="new folder to write", show_default=False)
]
Bits = Annotated[int, typer.Option("--bits", metavar="N", help="of each weight: 4 or 8")]
GroupSize = Annotated[
    int,
    typer.Option("--group-size", metavar="N", help="weights that share a scale: 32, 64 or 128"),
]
Embeddings = Annotated[
    bool,
    typer.Option(
        "--embeddings", metavar="", help="quantize the token embeddings too", show_default=False
    ),
]
Mixed = Annotated[
    bool,
    typer.Option(
        "--mixed",
        metavar="",
        help="mixed precision: 4 or 8 bits for each layer, by what 4 bits of it do to the loss",
        show_default=False,
    ),
]
MeanBits = Annotated[
    float,
    typer.Option(
        "--mean-bits", metavar="N", min=4, max=8, help="with --mixed: the mean to stay under"
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="CSV with the target, to measure on (default: the run's validation rows)",
        show_default=False,
    ),
]


def quantize(
    output: Output,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    bits: Bits = 4,
    group_size: GroupSize = 64,
    embeddings: Embeddings = False,
    mixed: Mixed = False,
    mean_bits: MeanBits = 5.0,
    data: Data = None,
    batch_size: options.PredictBatchSize = 128,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Quantize the weights of a checkpoint to 4 or 8 bits, and measure what that costs."""
    from bert_playground.inference import Predictor
    from bert_playground.logs import set_up_logs
    from bert_playground.training.evaluation.quantize import quantize_checkpoint

    set_up_logs(log_level)
    folder = choose_single_checkpoint(
        checkpoint, more_checkpoints, "model quantize", "--output NEW_FOLDER"
    )
    done = quantize_checkpoint(
        Predictor.load(folder, batch_size=batch_size),
        output,
        bits=bits,
        group_size=group_size,
        quantize_embeddings=embeddings,
        mean_bits=mean_bits if mixed else None,
        data=data,
    )
    if json:
        print_json(
            {
                "checkpoint": folder,
                "output": done.folder,
                "measured_on": done.source,
                "rows": done.rows,
                "before": vars(done.before),
                "after": vars(done.after),
                "layers": [vars(choice) for choice in done.choices],
                "drift": [finding.to_dict() for finding in done.drift],
            }
        )
        return
    _print(folder, done)


def _print(folder: Path, done: "Quantized") -> None:
    if done.choices:
        print_table(
            f"what 4 bits of one layer alone do to the loss, on {done.rows} rows",
            ("layer", "weights", "loss", "bits"),
            [
                (choice.name, choice.num_weights, f"{choice.loss_increase:+.5f}", choice.bits)
                for choice in done.choices
            ],
        )
    before, after = done.before, done.after
    sizes = [
        ("parameters in memory, MiB", before.memory_bytes / 2**20, after.memory_bytes / 2**20),
        ("weights on disk, MiB", before.disk_bytes / 2**20, after.disk_bytes / 2**20),
    ]
    scores = [(name, value, after.metrics.get(name)) for name, value in before.metrics.items()]
    print_table(
        f"{folder} → {done.folder}",
        ("", "before", "after", "change"),
        [
            (name, old, new, None if new is None else f"{new - old:+.4g}")
            for name, old, new in (*sizes, *scores)
        ],
    )
    print_lines(
        [
            f"measured on {done.source}" if done.rows else done.source,
            "",
            "next:",
            f"  {program()} predict --test test.csv --checkpoint {done.folder} --output submission.csv",
        ]
    )
    print_result(done.folder)
