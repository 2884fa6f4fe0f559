"""Workshop: recipes become folders; Point: what one is like, measured."""

import json
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bert_playground.blending.objective import Objective
from bert_playground.compression.importance import Importance
from bert_playground.compression.latency import measure_latency
from bert_playground.compression.prune import keep_parts, keep_words
from bert_playground.compression.recipe import Recipe, Shape, fitting_group
from bert_playground.compression.recover import Recovery, recover
from bert_playground.compression.rows import Rows
from bert_playground.compression.teacher import Teaching
from bert_playground.compression.vocabulary import Trimmed
from bert_playground.data.targets.multilabel import decide
from bert_playground.documents import read_json
from bert_playground.files import replaced_directory, write_text
from bert_playground.inference import Predictor
from bert_playground.logger import logger
from bert_playground.models.bert_with_head import BertWithHead
from bert_playground.models.checkpoint import save_model
from bert_playground.models.quantization_utils import find_layers, quantize_model
from bert_playground.models.tokenwise import named_parameters
from bert_playground.training.callbacks import create_progress
from bert_playground.training.objectives import make_objective

Array = np.ndarray[Any, Any]
POINT = "compression.json"  # in the folder of a point
LOGGING_STEPS = 50


@dataclass(frozen=True)
class Point:
    """A model, and what it is worth.

    Attributes:
        name: of the recipe, or "full".
        folder: the checkpoint.
        recipe: None: the full model.
        score: on the rows that recipes are compared on, by the metric.
        loss: on the same rows.
        milliseconds: of a batch, on this machine.
        speed_up: times that it is faster than the full model.
        megabytes: of the weights file.
        parameters: how many numbers, packed ones as what they stand for.
        seconds: that it took to make.
    """

    name: str
    folder: Path
    recipe: Recipe | None
    score: float
    loss: float
    milliseconds: float
    speed_up: float
    megabytes: float
    parameters: int
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def read(cls, folder: Path) -> "Point":
        """What `Workshop.make` wrote."""
        values = read_json(folder / POINT)
        recipe = values["recipe"]
        values |= {"folder": folder, "recipe": None if recipe is None else Recipe(**recipe)}
        return cls(**values)


@dataclass(frozen=True)
class Workshop:
    """All that recipes have in common.

    Attributes:
        full: the full model, with its weights.
        packed: the same as `predict` loads it, to time.
        importance: of its parts.
        teaching: of the training rows.
        rows: to learn from, and to measure on.
        trimmed: the smaller vocabulary; None: it stays.
        recovery: how students learn.
        metric: a name in METRICS.
        latency_rows: in the batch that is timed.
    """

    full: Predictor
    packed: Predictor
    importance: Importance
    teaching: Teaching
    rows: Rows
    trimmed: Trimmed | None
    recovery: Recovery
    metric: str
    latency_rows: int

    @property
    def shape(self) -> Shape:
        """Of the full encoder."""
        return Shape.of(self.full.model.encoder.config)

    @cached_property
    def full_point(self) -> Point:
        """The full model, measured."""
        score, loss = self.measure(self.packed, self.rows.val)
        latency = measure_latency(self.packed, self.packed, self.rows.val, self.latency_rows)
        folder = self.full.checkpoint
        return Point(
            "full",
            folder,
            None,
            score,
            loss,
            latency.full,
            1.0,
            _megabytes(folder),
            _count(self.full.model),
        )

    def make(self, recipe: Recipe, folder: Path) -> Point:
        """Prune, teach, quantize, write and measure; the folder is complete or not there at all.

        Raises:
            ValueError: the recipe does not fit the encoder.
            DivergenceError: learning ended in numbers that are not finite.
        """
        started = time.perf_counter()
        recipe = recipe.filled(self.shape)
        assert recipe.layers is not None
        kept = self.importance.choose_layers(recipe.layers, recipe.layer_choice)
        model, pipeline = self._prune(recipe, kept), self.full.pipeline
        if self.trimmed is not None:
            model, pipeline = keep_words(model, self.trimmed.kept), self.trimmed.pipeline
        if self.recovery.epochs:
            recover(
                model,
                pipeline,
                self.rows.train,
                self.teaching,
                kept,
                self.recovery,
                (create_progress(LOGGING_STEPS),),
            )
        parameters = _count(model)
        if recipe.bits is not None:
            _quantize(model, recipe.bits)
        with replaced_directory(folder) as temporary:
            save_model(model, temporary, pipeline.classes)
            pipeline.save(temporary)
            point = self._measure_folder(temporary, recipe, folder, parameters, started)
            write_text(temporary / POINT, json.dumps(point.to_dict(), indent=2) + "\n")
        logger.info(
            f"{recipe.name}: {self.metric} {point.score:.4f} (full {self.full_point.score:.4f}), "
            f"{point.speed_up:.2f} times as fast, {point.megabytes:.1f} MB"
        )
        return point

    def measure(self, predictor: Predictor, frame: pl.DataFrame) -> tuple[float, float]:
        """Metric and loss of a model on labelled rows."""
        answer = predictor.score(frame)
        assert answer.labels is not None
        assert answer.loss is not None
        return self.score(answer.labels, answer.scores), answer.loss

    def score(self, labels: Array, scores: Array) -> float:
        """The metric of some answers; units and thresholds are those of the full model, whose head all others have.

        Raises:
            ValueError: it is not defined on these rows.
        """
        try:
            return self._objective.compute(labels, self._decided(scores))
        except ValueError as error:
            raise ValueError(
                f"{self.metric} is not defined on {len(labels)} rows ({error}); give more rows, or another --metric"
            ) from error

    def judge(self, labels: Array, scores: Array) -> float:
        """The same with the sign that makes more better; NaN where it is not defined."""
        return self._objective.judge(labels, self._decided(scores))

    @cached_property
    def _objective(self) -> Objective:
        pipeline = self.packed.pipeline
        return make_objective(pipeline.task, self.metric, pipeline.in_units)

    def _decided(self, scores: Array) -> Array:
        thresholds = self.packed.thresholds
        if thresholds is None or not self._objective.decides:
            return scores
        return decide(scores, thresholds)

    def _prune(self, recipe: Recipe, kept: list[int]) -> BertWithHead:
        importance, shape = self.importance, self.shape
        assert recipe.heads is not None
        assert recipe.neurons is not None
        heads = neurons = None
        if recipe.heads < shape.heads:
            heads = {layer: importance.choose_heads(layer, recipe.heads) for layer in kept}
        if recipe.neurons < shape.neurons:
            neurons = {layer: importance.choose_neurons(layer, recipe.neurons) for layer in kept}
        return keep_parts(self.full.model, kept, heads, neurons)

    def _measure_folder(
        self, written: Path, recipe: Recipe, folder: Path, parameters: int, started: float
    ) -> Point:
        predictor = Predictor.load(written)
        score, loss = self.measure(predictor, self.rows.val)
        latency = measure_latency(predictor, self.packed, self.rows.val, self.latency_rows)
        return Point(
            recipe.name,
            folder,
            recipe,
            score,
            loss,
            latency.ratio * self.full_point.milliseconds,
            1 / latency.ratio,
            _megabytes(written),
            parameters,
            time.perf_counter() - started,
        )


def _quantize(model: BertWithHead, bits: int) -> None:
    """With the words, which are most of a small encoder's weights.

    Raises:
        ValueError: no group of weights divides all widths.
    """
    layers = find_layers(model, quantize_embeddings=True)
    widths = sorted({int(layer.weight.shape[1]) for layer in layers.values()})
    group = fitting_group(widths)
    if group is None:
        raise ValueError(
            f"weights in rows of {', '.join(map(str, widths))} cannot be quantized in groups of 32; leave --bits out"
        )
    quantize_model(model, bits=bits, group_size=group, quantize_embeddings=True)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6


def _count(model: BertWithHead) -> int:
    return sum(int(value.size) for value in named_parameters(model).values())
