"""OnnxPredictor: the answers of onnxruntime instead of MLX: of an exported folder, or of a checkpoint that is built on the spot."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.blending.decision import Decision
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.documents import read_json
from bert_playground.export.onnx.build import build_onnx, prepare_model, to_bytes
from bert_playground.export.onnx.doors import PLAN, is_onnx_folder
from bert_playground.export.onnx.session import Array, OnnxModel
from bert_playground.inference import Predictions
from bert_playground.lookup import expand_home, shorten
from bert_playground.models.checkpoint import load_model
from bert_playground.models.ensemble import (
    average_answers,
    check_weights,
    read_manifest,
    refuse_blend,
)
from bert_playground.models.heads import HeadConfig
from bert_playground.models.hub_files import CONFIG
from bert_playground.runs import ENSEMBLE_NAME, find_checkpoint

MODEL = "model.onnx"


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


def load_onnx_predictor(path: Path, *, batch_size: int = 128) -> OnnxPredictor:
    """Read a folder of `bert model export --format onnx`; or build the graph of a checkpoint, a run or an ensemble.

    Raises:
        FileNotFoundError: neither is there.
        ValueError: a file is damaged.
    """
    if is_onnx_folder(path):
        return _read_folder(expand_home(path), batch_size)
    folder = find_checkpoint(path)
    refuse_blend(folder)
    return _load_members(folder, batch_size, _build)


def _load_members(
    folder: Path, batch_size: int, load: Callable[[Path], OnnxMember]
) -> OnnxPredictor:
    if not (folder / ENSEMBLE_NAME).is_file():
        return OnnxPredictor((load(folder),), (1.0,), folder, batch_size)
    manifest = read_manifest(folder)
    members = tuple(load(find_checkpoint(each)) for each in manifest.members)
    return OnnxPredictor(members, manifest.weights, folder, batch_size)


def _build(folder: Path) -> OnnxMember:
    model = prepare_model(load_model(folder))
    graph = OnnxModel(to_bytes(build_onnx(model)))
    return OnnxMember(graph, TextPipeline.load(folder), model.head.config)


def _read_folder(folder: Path, batch_size: int) -> OnnxPredictor:
    plan = read_json(folder / PLAN)
    members, parts = [], plan.get("members") or []
    for part in parts:
        own = folder / part["folder"]
        lost = [name for name in (MODEL, CONFIG, "pipeline.json") if not (own / name).is_file()]
        if lost:
            raise FileNotFoundError(f"{own} lacks {shorten(lost)}; export the checkpoint again")
        head = HeadConfig.from_dict(read_json(own / CONFIG)["head"])
        members.append(OnnxMember(OnnxModel(own / MODEL), TextPipeline.load(own), head))
    if not members:
        raise ValueError(f"{folder / PLAN} names no models; export the checkpoint again")
    weights = check_weights([part["weight"] for part in parts], len(parts))
    return OnnxPredictor(tuple(members), weights, folder, batch_size)
