"""bert model export: export a checkpoint in the format of another library."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bert_playground.cli.utils import options as shared
from bert_playground.cli.utils.checkpoints import choose_checkpoint, refuse_together
from bert_playground.cli.utils.console import print_json, print_lines, print_result


class Dtype(StrEnum):
    """How weights are stored."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    INT8 = "int8"


Output = Annotated[
    Path, typer.Option("--output", metavar="FOLDER", help="new folder to write", show_default=False)
]
FormatName = Annotated[
    str, typer.Option("--format", metavar="NAME", help="format to write: huggingface or onnx")
]
DtypeName = Annotated[
    Dtype,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="of the stored weights: f32, f16, bf16 (huggingface) or int8 (onnx)",
    ),
]
Opset = Annotated[
    int | None,
    typer.Option(
        "--opset",
        metavar="N",
        help="onnx: version of the operators (default 17)",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="onnx: CSV with the target, to compare on (default: the run's validation rows)",
        show_default=False,
    ),
]
Serve = Annotated[
    bool,
    typer.Option(
        "--serve", metavar="", help="onnx: write a Dockerfile beside predict.py", show_default=False
    ),
]


def export(
    output: Output,
    checkpoint: shared.Checkpoint = None,
    more_checkpoints: shared.MoreCheckpoints = None,
    format: FormatName = "huggingface",
    dtype: DtypeName = Dtype.F32,
    opset: Opset = None,
    data: Data = None,
    serve: Serve = False,
    log_level: shared.LogLevel = None,
    json: shared.Json = False,
) -> None:
    """Export a checkpoint in the format of another library, with tokenizer and model card."""
    from bert_playground.export import export_model
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    folder = choose_checkpoint(checkpoint, more_checkpoints)
    if format != "onnx":
        whole = "--format onnx"
        refuse_together(folder, "model export --checkpoint", "--output NEW_FOLDER", whole)
    given = {"opset": opset, "data": data, "with_recipe": serve or None}
    options = {name: value for name, value in given.items() if value is not None}
    exported = export_model(folder, output, format=format, dtype=dtype.value, **options)
    if json:
        print_json({"checkpoint": folder, "format": format, **exported._asdict()})
        return
    print_lines(
        [
            f"{folder} → {exported.folder}: {exported.reader} in {exported.dtype}, "
            f"{exported.num_bytes / 2**20:,.1f} MiB",
            f"files: {', '.join(exported.files)}",
            *(f"note: {note}" for note in exported.notes),
            f"read back, its answers to {exported.compared_on} differ by at most {exported.largest_difference:.2g}",
        ]
    )
    print_result(exported.folder)
