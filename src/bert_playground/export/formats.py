"""FORMATS: the name of a form and the function that writes it; export_model."""

from collections.abc import Callable
from pathlib import Path

from bert_playground.export.exported import Exported
from bert_playground.export.huggingface import export_huggingface
from bert_playground.files import replaced_directory
from bert_playground.lookup import look_up
from bert_playground.models.ensemble import refuse_ensemble
from bert_playground.runs import find_checkpoint

# (checkpoint, new folder, number format) → what was written.
FORMATS: dict[str, Callable[[Path, Path, str], Exported]] = {
    "huggingface": export_huggingface,
}


def export_model(
    checkpoint: Path, output: Path, *, format: str = "huggingface", dtype: str = "f32"
) -> Exported:
    """Write a checkpoint in the form of another program; the folder appears complete or not at all.

    Args:
        checkpoint: a checkpoint or run folder.
        output: a folder that does not exist, or is empty.
        format: a name in FORMATS.
        dtype: how weights are stored: f32, f16 or bf16.

    Raises:
        FileNotFoundError: no checkpoint there.
        ValueError: an unknown format or number format, a folder with something in it, or a model that the form cannot say.
    """
    write = look_up(FORMATS, format, "format")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(
            f"{output} exists already and is not empty; give a new folder with --output"
        )
    folder = find_checkpoint(checkpoint)
    refuse_ensemble(folder)
    with replaced_directory(output) as temporary:
        exported = write(folder, temporary, dtype)
    return exported._replace(folder=output)
