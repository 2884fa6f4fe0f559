"""find_parts: the models of a checkpoint, an ensemble or a blend, and where each is written; compile_blend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_playground.blend_predictor import PIPELINE, read_blend
from bert_playground.data.pipeline import TextPipeline
from bert_playground.export.onnx.plan import compile_alignment
from bert_playground.models.ensemble import read_manifest
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME, find_checkpoint


@dataclass(frozen=True)
class Part:
    """One model.

    Attributes:
        source: where it is read.
        folder: where it is written, inside the exported folder.
        weight: how much it counts in an ensemble; of a blend the stack knows.
        member: of a blend, whose model it is.
    """

    source: Path
    folder: str
    weight: float = 1.0
    member: str = ""

    @property
    def is_tabular(self) -> bool:
        """Whether it is a model beside the encoder."""
        return (self.source / ESTIMATOR_NAME).is_file()


def find_parts(checkpoint: Path) -> list[Part]:
    """The models that answer together, those of one member of a blend side by side."""
    if (checkpoint / BLEND_NAME).is_file():
        members = read_blend(checkpoint)["members"]
        named = [(name, folder) for name, folders in members.items() for folder in folders]
        return [
            Part(checkpoint / folder, f"member_{number}", member=name)
            for number, (name, folder) in enumerate(named)
        ]
    if (checkpoint / ENSEMBLE_NAME).is_file():
        manifest = read_manifest(checkpoint)
        pairs = zip(manifest.members, manifest.weights, strict=True)
        return [
            Part(find_checkpoint(source), f"member_{number}", weight)
            for number, (source, weight) in enumerate(pairs)
        ]
    return [Part(checkpoint, ".")]


def compile_blend(
    checkpoint: Path, parts: Sequence[Part], pipelines: Sequence[TextPipeline]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What plan.json says of a blend: itself, and of each model how its answers are aligned; ({}, [{}, …]) of others."""
    if not parts[0].member:
        return {}, [{} for _ in parts]
    places: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        places.setdefault(part.member, []).append(number)
    labels = TextPipeline.load(checkpoint / PIPELINE).labels
    aligned = [{"aligned": compile_alignment(each.labels, labels)} for each in pipelines]
    return {"blend": {"members": places, "stack": read_blend(checkpoint)["stack"]}}, aligned
