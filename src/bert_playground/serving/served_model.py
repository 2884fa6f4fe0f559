"""ServedModel: a predictor under the name that clients call it by; what they may know of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
import polars as pl

from bert_playground.data.drift.profile import ColumnProfile
from bert_playground.data.drift.quick_check import doubt, may_be_rewritten
from bert_playground.data.pipeline import TextPipeline
from bert_playground.inference import AnyPredictor
from bert_playground.lookup import nearest
from bert_playground.serving.forward import EncoderLeaf
from bert_playground.serving.parts import Parts, pipeline_of, take_apart
from bert_playground.serving.request_error import RequestError, not_supported
from bert_playground.tasks import TASKS

Array = np.ndarray[Any, Any]
MAX_CHOICES = 100  # values of a column that a form offers


@dataclass(frozen=True)
class ServedModel:
    """What answers under a name.

    Attributes:
        name: for clients.
        parts: the predictor, taken apart.
    """

    name: str
    parts: Parts

    @classmethod
    def of(cls, name: str, predictor: AnyPredictor) -> "ServedModel":
        """A predictor under a name.

        Raises:
            ValueError: it is of a kind that is not served.
        """
        return cls(name, take_apart(predictor))

    @property
    def predictor(self) -> AnyPredictor:
        """The whole."""
        return self.parts.predictor

    @property
    def pipeline(self) -> TextPipeline:
        """How rows are read; target, id column and labels."""
        return self.predictor.pipeline

    @property
    def task(self) -> str:
        """A name in TASKS."""
        return self.pipeline.task

    @property
    def has_probabilities(self) -> bool:
        """Whether answers are classes."""
        return TASKS[self.task].is_classification

    @property
    def max_length(self) -> int:
        """Most tokens of a row or text."""
        lengths = [
            min(leaf.predictor.pipeline.max_length, leaf.predictor.model.encoder.max_length)
            for leaf in self.parts.leaves
            if isinstance(leaf, EncoderLeaf)
        ]
        return min(lengths, default=0)

    @cached_property
    def may_rewrite(self) -> pl.Expr | None:
        """Of rows with the `needed` columns: whether reading may write a cell otherwise; None: it never does."""
        pipelines = [self.pipeline, *map(pipeline_of, self.parts.leaves)]
        profiles = [profile for pipeline in pipelines for profile in pipeline.profiles]
        return self._any_doubt(each for each in profiles if may_be_rewritten(each))

    @cached_property
    def is_odd(self) -> pl.Expr | None:
        """Of such rows: whether a cell needs a closer look, be it rewritten or counted alone; None: none does."""
        return self._any_doubt(self.pipeline.profiles)

    @cached_property
    def checks_all(self) -> bool:
        """Whether `is_odd` looks at every column that drift is counted of."""
        return all(profile.column in self.needed for profile in self.pipeline.profiles)

    def _any_doubt(self, profiles: Iterable[ColumnProfile]) -> pl.Expr | None:
        distinct = dict.fromkeys(each for each in profiles if each.column in self.needed)
        doubts = [doubt(profile).alias(f"{place}") for place, profile in enumerate(distinct)]
        return pl.any_horizontal(*doubts, pl.repeat(False, pl.len())) if doubts else None

    @cached_property
    def needed(self) -> list[str]:
        """The columns that a client has to send."""
        windows = self.pipeline.windows
        if windows is None:
            return self.parts.columns
        cut = {*windows.lag_columns, windows.value}
        own = [name for name in self.parts.columns if name not in cut]
        keys = [windows.time_column, *([windows.series_column] if windows.series_column else [])]
        return list(dict.fromkeys([*keys, windows.value, *own]))

    def require_encoder(self, what: str) -> EncoderLeaf:
        """The encoder that answers alone.

        Raises:
            RequestError: several models answer together, or none is an encoder.
        """
        leaf = self.parts.encoder
        if leaf is None:
            kind = f"{len(self.parts.leaves)} models that answer together"
            if len(self.parts.leaves) == 1:
                kind = "a model beside the encoder, which reads cells and no text"
            raise not_supported(
                f"{what} needs a single encoder, and {self.name!r} is {kind}; ask /predict/rows, or serve one of its encoders"
            )
        return leaf

    def ignored(self, columns: Sequence[str]) -> list[str]:
        """Columns that nobody reads; the id and the target are known."""
        return [name for name in columns if name not in self._known]

    @cached_property
    def _known(self) -> set[str | None]:
        return {*self.needed, *self.pipeline.targets, self.pipeline.id_column}

    def describe_columns(self) -> list[dict[str, Any]]:
        """The columns of a row with values that are typical of the training table, for forms."""
        profiles = {profile.column: profile for profile in self.pipeline.profiles}
        return [describe_column(name, profiles.get(name)) for name in self.needed]


def describe_column(name: str, profile: ColumnProfile | None) -> dict[str, Any]:
    """What a form needs to know of a column; of folders of earlier versions the name alone is known."""
    described: dict[str, Any] = {"name": name, "kind": "text", "example": None, "choices": []}
    if profile is None:
        return described
    kinds = {"number": "number", "date": "date", "category": "category", "list": "list"}
    described["kind"] = kinds.get(profile.form, "text")
    described["example"] = profile.example
    described["missing_share"] = profile.num_missing / max(1, profile.num_rows)
    described["importance"] = profile.importance
    if profile.form == "category":
        described["choices"] = list(profile.values[:MAX_CHOICES])
        described["example"] = profile.values[0] if profile.values else profile.example
    if profile.form == "number" and profile.edges:
        described["least"], described["greatest"] = profile.edges[0], profile.edges[-1]
        described["example"] = spell_number(float(profile.edges[len(profile.edges) // 2]))
    if described["missing_share"] > 0.5:
        described["example"] = None
    return described


def spell_number(number: float) -> str:
    """A number as a table would have it."""
    return f"{number:.10g}"


def clean_number(value: Any) -> Any:
    """A value that JSON can have: numbers that are none become null."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value


def describe_answers(served: ServedModel, scores: Array) -> list[dict[str, Any]]:
    """For each row its "answer", and "probabilities" and "confidence" where there are such."""
    answers = served.predictor.answers(scores)
    described: list[dict[str, Any]] = [{"answer": record} for record in to_records(answers)]
    if not served.has_probabilities:
        return described
    table = served.pipeline.probabilities(scores)
    for each, row in zip(described, to_records(table), strict=True):
        each["probabilities"] = row
    if not TASKS[served.task].has_many_targets:
        for each, value in zip(described, _confidence(served, answers, table), strict=True):
            each["confidence"] = value
    return described


def confidence_of(served: ServedModel, scores: Array) -> list[float] | None:
    """The probability of each row's answer; None where answers are no single class."""
    if not served.has_probabilities or TASKS[served.task].has_many_targets:
        return None
    return _confidence(
        served, served.predictor.answers(scores), served.pipeline.probabilities(scores)
    )


def _confidence(served: ServedModel, answers: pl.DataFrame, table: pl.DataFrame) -> list[float]:
    places = {label: place for place, label in enumerate(served.pipeline.classes)}
    chosen = [places[answer] for answer in answers[:, 0].to_list()]
    shares = table.to_numpy()[np.arange(table.height), np.array(chosen, dtype=np.int64)]
    return list(shares.astype(np.float64).tolist())


def find_model(models: dict[str, ServedModel], name: str | None) -> ServedModel:
    """The model that a client names; None: the first.

    Raises:
        RequestError: there is no such model.
    """
    if name is None:
        return next(iter(models.values()))
    if name not in models:
        raise RequestError(
            "NotFound", f"no model {name!r}{nearest(name, models)} (served: {', '.join(models)})"
        )
    return models[name]


def to_records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON can have them."""
    records: list[dict[str, Any]] = [{} for _ in range(frame.height)]
    for name, column in zip(frame.columns, frame.iter_columns(), strict=True):
        for record, value in zip(records, _clean(column), strict=True):
            record[name] = value
    return records


def _clean(column: pl.Series) -> list[Any]:
    values = column.to_list()
    if column.dtype.is_float() and not column.is_finite().all():
        return list(map(clean_number, values))
    return values
