"""Exported: what an export wrote, and how far its answers are from the model's."""

from pathlib import Path
from typing import NamedTuple


class Exported(NamedTuple):
    """A folder for another program.

    Attributes:
        folder: where it lies.
        reader: the class or program that reads it.
        dtype: how weights are stored.
        files: their names, sorted.
        num_bytes: of all files.
        notes: what the other program cannot do of the model, in sentences.
        largest_difference: between the answers (probabilities, numbers) of the written model, read back, and those of
            the model itself, computed in f32; of ONNX between their logits.
        compared_on: which rows.
    """

    folder: Path
    reader: str
    dtype: str
    files: tuple[str, ...]
    num_bytes: int
    notes: tuple[str, ...]
    largest_difference: float
    compared_on: str = "a few made-up rows"
