"""Parts: a predictor taken apart into what reads rows, what computes them, and how answers become one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.pipeline import TextPipeline
from bert_playground.ensemble_predictor import EnsemblePredictor
from bert_playground.inference import AnyPredictor, Predictions, Predictor
from bert_playground.serving.forward import EncoderLeaf
from bert_playground.tabular.predictor import TabularPredictor

Array = np.ndarray[Any, Any]
Leaf = EncoderLeaf | TabularPredictor


@dataclass(frozen=True)
class Parts:
    """A predictor in parts; together they answer bit for bit what its `predict` does.

    Attributes:
        predictor: the whole.
        leaves: the models in it.
        combine: the answers of all leaves to the same rows → scores as `predictor.predict` gives them.
        reads_first: whether the whole reads a table before its leaves do, as a blend does.
    """

    predictor: AnyPredictor
    leaves: tuple[Leaf, ...]
    combine: Callable[[Sequence[Array]], Array]
    reads_first: bool = False

    @property
    def columns(self) -> list[str]:
        """The columns that any leaf reads, in the order in which they are met."""
        names = [name for leaf in self.leaves for name in pipeline_of(leaf).columns]
        return list(dict.fromkeys(names))

    @property
    def encoder(self) -> EncoderLeaf | None:
        """The encoder that answers alone; None where several models answer together, or none is an encoder."""
        leaf = self.leaves[0]
        return leaf if len(self.leaves) == 1 and isinstance(leaf, EncoderLeaf) else None

    def read(self, rows: pl.DataFrame, drift: TableDrift) -> list[pl.DataFrame]:
        """The rows as each leaf was trained to read them; `drift` counts how they differ from training."""
        rows = rows.drop(self.predictor.pipeline.targets, strict=False)
        if self.reads_first:
            rows = drift.read(rows)
        watchers = [pipeline_of(leaf).watch_drift() for leaf in self.leaves]
        if not self.reads_first:
            watchers[0] = drift
        return [watcher.read(rows) for watcher in watchers]


def pipeline_of(leaf: Leaf) -> TextPipeline:
    """How the rows of a leaf become text or features."""
    return leaf.predictor.pipeline if isinstance(leaf, EncoderLeaf) else leaf.pipeline


def take_apart(predictor: AnyPredictor, activate: Callable[[], None] | None = None) -> Parts:
    """The parts of a predictor.

    Args:
        predictor: of one checkpoint or of several.
        activate: see `EncoderLeaf`.

    Raises:
        ValueError: it is of a kind that is not served.
    """
    if isinstance(predictor, Predictor):
        return Parts(predictor, (EncoderLeaf(predictor, activate),), _only)
    if isinstance(predictor, TabularPredictor):
        return Parts(predictor, (predictor,), _only)
    if isinstance(predictor, EnsemblePredictor):
        return _take_ensemble_apart(predictor)
    if isinstance(predictor, BlendPredictor):
        return _take_blend_apart(predictor)
    raise ValueError(
        f"a {type(predictor).__name__} cannot be served; give a checkpoint, an ensemble, a blend or a model beside the encoder"
    )


def _only(scores: Sequence[Array]) -> Array:
    return scores[0]


def _take_ensemble_apart(predictor: EnsemblePredictor) -> Parts:
    def combine(scores: Sequence[Array]) -> Array:
        return predictor.combine([Predictions(each, None, None) for each in scores]).scores

    return Parts(predictor, tuple(EncoderLeaf(member) for member in predictor.members), combine)


def _take_blend_apart(predictor: BlendPredictor) -> Parts:
    models = [(name, model) for name, members in predictor.members.items() for model in members]
    leaves = [take_apart(model).leaves[0] for _, model in models]

    def combine(scores: Sequence[Array]) -> Array:
        by_member: dict[str, list[Array]] = {}
        for (name, _), each in zip(models, scores, strict=True):
            by_member.setdefault(name, []).append(each)
        joined = {name: predictor.join_models(name, each) for name, each in by_member.items()}
        return predictor.stack.score(joined)

    return Parts(predictor, tuple(leaves), combine, reads_first=True)
