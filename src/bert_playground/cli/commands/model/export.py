"""bert model export: export a checkpoint in the format of another library."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.checkpoints import choose_single_checkpoint
from bert_playground.cli.utils.console import print_json, print_lines


class Dtype(StrEnum):
    """How weights are stored."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"


Output = Annotated[
    Path, typer.Option("--output", metavar="FOLDER", help="new folder to write", show_default=False)
]
FormatName = Annotated[
    str, typer.Option("--format", metavar="NAME", help="format to write: huggingface")
]
DtypeName = Annotated[
    Dtype, typer.Option("--dtype", metavar="TYPE", help="of the stored weights: f32, f16 or bf16")
]


def export(
    output: Output,
    checkpoint: options.Checkpoint = None,
    more_checkpoints: options.MoreCheckpoints = None,
    format: FormatName = "huggingface",
    dtype: DtypeName = Dtype.F32,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Export a checkpoint in the format of another library, with tokenizer and model card."""
    from bert_playground.export import export_model
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    folder = choose_single_checkpoint(
        checkpoint, more_checkpoints, "model export", "--output NEW_FOLDER"
    )
    exported = export_model(folder, output, format=format, dtype=dtype.value)
    if json:
        print_json({"checkpoint": folder, "format": format, **exported._asdict()})
        return
    print_lines(
        [
            f"{folder} → {exported.folder}: {exported.reader} in {exported.dtype}, "
            f"{exported.num_bytes / 2**20:,.1f} MiB",
            f"files: {', '.join(exported.files)}",
            *(f"note: {note}" for note in exported.notes),
            f"read back, its answers to a few made-up rows differ by at most {exported.largest_difference:.2g}",
        ]
    )
