"""FORMATS: the name of a form and the function that writes it; export_model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bert_playground.export.exported import Exported
from bert_playground.export.huggingface import export_huggingface
from bert_playground.export.onnx import export_onnx
from bert_playground.files import replaced_directory
from bert_playground.lookup import look_up
from bert_playground.models.ensemble import refuse_ensemble
from bert_playground.runs import find_checkpoint

# (checkpoint, new folder, number format) → what was written.
FORMATS: dict[str, Callable[..., Exported]] = {
    "huggingface": export_huggingface,
    "onnx": export_onnx,
}
# ONNX alone writes ensembles and blends, and has options of its own.
ONNX_FLAGS = {"opset": "--opset", "data": "--data", "with_recipe": "--serve"}


def export_model(
    checkpoint: Path,
    output: Path,
    *,
    format: str = "huggingface",
    dtype: str = "f32",
    **options: Any,
) -> Exported:
    """Write a checkpoint in the form of another program; the folder appears complete or not at all.

    Args:
        checkpoint: a checkpoint or run folder; as ONNX also one of an ensemble or a blend.
        output: a folder that does not exist, or is empty.
        format: a name in FORMATS.
        dtype: how weights are stored: f32, f16 or bf16; as ONNX f32, f16 or int8.
        options: of ONNX, see `export_onnx`.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: an unknown format or number format, a folder with something in it, a model that the form cannot say,
            or a form whose extra is not installed.
    """
    write = look_up(FORMATS, format, "format")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(
            f"{output} exists already and is not empty; give a new folder with --output"
        )
    folder = find_checkpoint(checkpoint)
    if format != "onnx":
        _refuse_what_is_onnxs(format, folder, options)
    with replaced_directory(output) as temporary:
        exported = write(folder, temporary, dtype, **options)
    return exported._replace(folder=output)


def _refuse_what_is_onnxs(format: str, folder: Path, options: Mapping[str, Any]) -> None:
    if options:
        flags = " or ".join(ONNX_FLAGS[name] for name in options)
        raise ValueError(
            f"format {format} has no {flags}; add --format onnx, or leave out what is its own"
        )
    refuse_ensemble(folder)
