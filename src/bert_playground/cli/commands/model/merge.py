"""bert model merge: merge a LoRA adapter into its base model."""

from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_checkpoint, refuse_together
from bert_playground.cli.utils.console import print_json, print_lines, print_result, program

Output = Annotated[
    Path, typer.Option("--output", metavar="FOLDER", help="new folder to write", show_default=False)
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="NAME",
        help="folder or Hub id of the base (default: the one that the adapter names)",
        show_default=False,
    ),
]
Requantize = Annotated[
    bool,
    typer.Option(
        "--requantize",
        metavar="",
        help="quantize again what was quantized: small, but the adapter is rounded",
        show_default=False,
    ),
]


def merge(
    output: Output,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    base: Base = None,
    requantize: Requantize = False,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Merge a LoRA adapter into its base model, as a checkpoint that needs no base."""
    from bert_playground.export.merged import merge_adapter, refuse_whole_ensemble
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    folder = choose_checkpoint(checkpoint, more_checkpoints)
    refuse_whole_ensemble(folder)
    refuse_together(folder, "model merge --checkpoint", "--output NEW_FOLDER")
    merged = merge_adapter(folder, output, base=base, requantize=requantize)
    if json:
        print_json({"checkpoint": folder, **merged._asdict()})
        return
    print_lines(
        [
            f"{folder} on {merged.base} → {merged.folder}",
            f"weights on disk: {merged.bytes_before / 2**20:.1f} MiB of adapter became "
            f"{merged.bytes_after / 2**20:,.1f} MiB of model",
            f"its answers to a few made-up rows changed by at most {merged.largest_difference:.2g}",
            "",
            "next:",
            f"  {program()} predict --test test.csv --checkpoint {merged.folder} --output submission.csv",
        ]
    )
    print_result(merged.folder)
