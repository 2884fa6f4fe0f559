"""OnnxPredictor: the answers of onnxruntime instead of MLX: of an exported folder, or of a checkpoint that is built on the spot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.blend_predictor import PIPELINE, BlendPredictor
from bert_playground.blending.decision import Decision
from bert_playground.blending.stack import Stack
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.documents import Document, check, read_json
from bert_playground.export.onnx.build import build_onnx, prepare_model, to_bytes
from bert_playground.export.onnx.doors import PLAN, is_onnx_folder
from bert_playground.export.onnx.session import Array, OnnxModel
from bert_playground.inference import AnyPredictor, Predictions
from bert_playground.lookup import expand_home, shorten
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import (
    average_answers,
    check_weights,
    read_manifest,
    resolve_inside,
)
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import CONFIG
from bert_playground.runs import BLEND_NAME, ENSEMBLE_NAME, ESTIMATOR_NAME, find_checkpoint
from bert_playground.tabular.predictor import TabularPredictor

MODEL = "model.onnx"


class _Part(Document):
    folder: str
    weight: float


class _Blend(Document):
    members: dict[str, list[int]]
    stack: dict[str, Any]


class _Plan(Document):
    members: list[_Part]
    blend: _Blend = _Blend(members={}, stack={})


@dataclass(frozen=True)
class OnnxMember:
    """One graph with the pipeline that makes its text.

    Attributes:
        graph: what computes it.
        pipeline: rows to tokens.
        head: its shape; the graph itself knows what it computes.
    """

    graph: OnnxModel
    pipeline: TextPipeline
    head: HeadConfig

    def score(self, rows: pl.DataFrame, number: int, batch_size: int) -> Predictions:
        """The scores of a table, its rows written in way `number`; see `encode_variant`."""
        loader = self.pipeline.make_loader(rows, batch_size=batch_size, variant=number)
        found = self.graph.answer(loader)
        return Predictions(found.scores, found.labels, loss=None)


@dataclass(frozen=True)
class OnnxPredictor:
    """One graph or several that answer together; does what `Predictor` does.

    Attributes:
        members: each reads the rows as it was trained to.
        weights: how much each counts; they sum to 1.
        checkpoint: the folder that was read.
        batch_size: rows per pass.
    """

    members: tuple[OnnxMember, ...]
    weights: tuple[float, ...]
    checkpoint: Path
    batch_size: int = 128

    @property
    def pipeline(self) -> TextPipeline:
        """The first member's: target, id column and labels are the same for all."""
        return self.members[0].pipeline

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Decision threshold of each label of a multilabel task; of several members their mean; None: 0.5."""
        found = [member.head.thresholds for member in self.members]
        if any(thresholds is None for thresholds in found):
            return None
        return tuple(np.average(np.array(found), axis=0, weights=self.weights).tolist())

    @property
    def decision(self) -> Decision | None:
        """None: classes are read from probabilities as usual."""
        return None

    def score(
        self, rows: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Predictions:
        """Scores of a table in its order, with labels where it has the target; there is no loss."""
        if num_variants < 1:
            raise ValueError(f"num_variants is {num_variants}, expected at least 1")
        answers, weights = [], []
        for place, (member, weight) in enumerate(zip(self.members, self.weights, strict=True)):
            watch = None if place else drift
            read = (watch or member.pipeline.watch_drift()).read(rows)
            answers += [member.score(read, i, self.batch_size) for i in range(num_variants)]
            weights += [weight / num_variants] * num_variants
        if len(answers) == 1:
            return answers[0]
        arrays = [mx.array(answer.scores) for answer in answers]
        scores = average_answers(arrays, weights, self.members[0].head.head_type)
        return Predictions(np.array(scores), answers[0].labels, loss=None)

    def predict(
        self, frame: pl.DataFrame, *, num_variants: int = 1, drift: TableDrift | None = None
    ) -> Array:
        """The scores alone; the target, where a table has it, is not read."""
        unlabelled = frame.drop(self.pipeline.targets, strict=False)
        return self.score(unlabelled, num_variants=num_variants, drift=drift).scores

    def answers(self, scores: Array) -> pl.DataFrame:
        """Scores in the words and units of the training table, one column for each target."""
        return self.pipeline.answers(scores, self.thresholds)


Model = OnnxMember | TabularPredictor
Joined = OnnxPredictor | BlendPredictor


def join_models(
    models: Sequence[Model], plan: Mapping[str, Any], folder: Path, batch_size: int = 128
) -> Joined:
    """What answers rows with all models of an exported folder.

    Args:
        models: in the order of the plan's members.
        plan: what plan.json says of members, and of a blend.
        folder: the exported one.
        batch_size: rows per pass of a graph.

    Raises:
        ValueError: weights that are none, or a blend that was changed.
    """
    if "blend" not in plan:
        weights = check_weights([part["weight"] for part in plan["members"]], len(models))
        graphs = tuple(each for each in models if isinstance(each, OnnxMember))
        return OnnxPredictor(graphs, weights, folder, batch_size)
    answering = [
        OnnxPredictor((each,), (1.0,), folder, batch_size) if isinstance(each, OnnxMember) else each
        for each in models
    ]
    members = {
        name: tuple(answering[place] for place in places)
        for name, places in plan["blend"]["members"].items()
    }
    stack = Stack.from_dict(plan["blend"]["stack"])
    return BlendPredictor(members, stack, TextPipeline.load(folder / PIPELINE), folder)


def load_onnx_predictor(path: Path, *, batch_size: int = 128) -> Joined:
    """Read a folder of `bert model export --format onnx`; or build the graphs of a checkpoint, a run, an ensemble or a blend.

    Raises:
        FileNotFoundError: neither is there.
        ValueError: a file is damaged.
    """
    if is_onnx_folder(path):
        return _read_folder(expand_home(path), batch_size)
    folder = find_checkpoint(path)
    if (folder / BLEND_NAME).is_file():
        return BlendPredictor.load(folder, load=partial(_load_single, batch_size=batch_size))
    return _load_members(folder, batch_size)


def _load_single(folder: Path, batch_size: int) -> AnyPredictor:
    """One model of one fold of a blend."""
    if (folder / ESTIMATOR_NAME).is_file():
        return TabularPredictor.load(folder)
    return OnnxPredictor((_build(folder),), (1.0,), folder, batch_size)


def _load_members(folder: Path, batch_size: int) -> OnnxPredictor:
    if not (folder / ENSEMBLE_NAME).is_file():
        return OnnxPredictor((_build(folder),), (1.0,), folder, batch_size)
    manifest = read_manifest(folder)
    members = tuple(_build(find_checkpoint(each)) for each in manifest.members)
    return OnnxPredictor(members, manifest.weights, folder, batch_size)


def _build(folder: Path) -> OnnxMember:
    model = prepare_model(load_model(folder))
    graph = OnnxModel(to_bytes(build_onnx(model)))
    return OnnxMember(graph, TextPipeline.load(folder), model.head.config)


def _read_folder(folder: Path, batch_size: int) -> Joined:
    path = folder / PLAN
    plan = read_json(path)
    check(_Plan, plan, path)
    parts = plan["members"]
    if not parts:
        raise ValueError(f"{path} names no models; export the checkpoint again")
    named = [place for each in plan.get("blend", {}).get("members", {}).values() for place in each]
    if wrong := [place for place in named if not 0 <= place < len(parts)]:
        raise ValueError(
            f"{path} names model {wrong[0]} of a blend, but has {len(parts)}; export the run again"
        )
    folders = resolve_inside(folder, [part["folder"] for part in parts], PLAN)
    return join_models([_read_model(each) for each in folders], plan, folder, batch_size)


def _read_model(folder: Path) -> Model:
    if (folder / ESTIMATOR_NAME).is_file():
        return TabularPredictor.load(folder)
    lost = [name for name in (MODEL, CONFIG, "pipeline.json") if not (folder / name).is_file()]
    if lost:
        raise FileNotFoundError(f"{folder} lacks {shorten(lost)}; export the checkpoint again")
    head = HeadConfig.from_dict(read_json(folder / CONFIG)["head"])
    return OnnxMember(OnnxModel(folder / MODEL), TextPipeline.load(folder), head)
