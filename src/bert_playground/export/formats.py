"""FORMATS: the name of a form and the function that writes it; export_model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert_playground.export.exported import Exported
from bert_playground.export.huggingface import export_huggingface
from bert_playground.export.onnx import export_onnx
from bert_playground.files import replaced_directory
from bert_playground.lookup import look_up
from bert_playground.models.ensemble import refuse_ensemble
from bert_playground.runs import find_checkpoint

FLAGS = {"opset": "--opset", "data": "--data", "with_recipe": "--serve"}


def _export_huggingface(checkpoint: Path, folder: Path, dtype: str, **options: Any) -> Exported:
    if options:
        raise ValueError(
            f"format huggingface has no {' or '.join(FLAGS[name] for name in options)}; add --format onnx, or leave out what is its own"
        )
    refuse_ensemble(checkpoint)
    return export_huggingface(checkpoint, folder, dtype)


# (checkpoint, new folder, number format, options of this form) → what was written.
FORMATS: dict[str, Callable[..., Exported]] = {
    "huggingface": _export_huggingface,
    "onnx": export_onnx,
}


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
        checkpoint: a checkpoint or run folder; as ONNX also one of an ensemble.
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
    with replaced_directory(output) as temporary:
        exported = write(folder, temporary, dtype, **options)
    return exported._replace(folder=output)
