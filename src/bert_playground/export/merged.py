"""merge_adapter: an adapter checkpoint and its base as one model that stands alone."""

import shutil
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np

from bert_playground.export.huggingface import answer_samples, labels_of
from bert_playground.files import replaced_directory
from bert_playground.models.checkpoint import load_with_adapter, save_model
from bert_playground.models.ensemble import read_manifest
from bert_playground.models.hub_files import ADAPTER
from bert_playground.models.lora.folder import is_adapter_folder
from bert_playground.runs import ENSEMBLE_NAME, find_checkpoint

# What a model needs to make text of a row, and no more: a merged model cannot be resumed.
KEPT = ("pipeline.json", "tokenizer")


class Merged(NamedTuple):
    """What `merge_adapter` wrote.

    Attributes:
        folder: the new checkpoint.
        base: what the adapter stood on.
        bytes_before: of the adapter's tensors.
        bytes_after: of the whole model's.
        largest_difference: between the answers (probabilities, numbers) with the adapter beside the weights and in
            them, on a few made-up rows.
    """

    folder: Path
    base: str
    bytes_before: int
    bytes_after: int
    largest_difference: float


def refuse_whole_ensemble(folder: Path) -> None:
    """Refuse an ensemble whose members hold no adapters.

    Raises:
        ValueError: it is one.
    """
    if not (folder / ENSEMBLE_NAME).is_file():
        return
    members = read_manifest(folder).members
    if not any(is_adapter_folder(find_checkpoint(member)) for member in members):
        raise ValueError(
            f"{folder} is an ensemble of {len(members)} checkpoints without adapters: the weights of each are whole, and "
            f"there is nothing to merge; use it as it is: bert predict --test test.csv --checkpoint {quote(str(folder))}"
        )


def merge_adapter(
    checkpoint: Path, output: Path, *, base: str | None = None, requantize: bool = False
) -> Merged:
    """Write a checkpoint whose weights have the adapter in them; the folder appears complete or not at all.

    Args:
        checkpoint: an adapter checkpoint, or a run folder with one.
        output: a folder that does not exist, or is empty.
        base: a folder or Hub id to use instead of the one that the adapter names.
        requantize: quantize again where the base was quantized; otherwise these layers become full ones.

    Raises:
        FileNotFoundError: no checkpoint there, or its base is not.
        ValueError: no adapter, an ensemble, another base, or a folder with something in it.
    """
    folder = find_checkpoint(checkpoint)
    refuse_whole_ensemble(folder)
    if not is_adapter_folder(folder):
        raise ValueError(
            f"{folder} holds no adapter (no {ADAPTER}): its weights are whole already, use it as it is"
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(
            f"{output} exists already and is not empty; give a new folder with --output"
        )
    model = load_with_adapter(folder, base)
    before, name = answer_samples(model), model.adapter.base.name
    model.adapter.merge(requantize=requantize)
    after = answer_samples(model)
    with replaced_directory(output) as temporary:
        save_model(model, temporary, labels_of(folder))
        for kept in KEPT:
            if (folder / kept).is_dir():
                shutil.copytree(folder / kept, temporary / kept)
            elif (folder / kept).is_file():
                shutil.copy2(folder / kept, temporary / kept)
    return Merged(
        output,
        name,
        _weight_bytes(folder),
        _weight_bytes(output),
        float(np.abs(after - before).max()),
    )


def _weight_bytes(folder: Path) -> int:
    names = ("model.safetensors", "adapter_model.safetensors", "adapters.safetensors")
    return sum((folder / name).stat().st_size for name in names if (folder / name).is_file())
