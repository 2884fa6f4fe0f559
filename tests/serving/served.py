"""Predictors with random weights of every kind that is served: how good their answers are is no question here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.blending.combiner import Combiner
from bert_playground.blending.stack import Stack
from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.schema.decide import decide
from bert_playground.data.templates.options import TextOptions
from bert_playground.ensemble_predictor import EnsemblePredictor
from bert_playground.inference import AnyPredictor, Predictor
from bert_playground.models.factory import create_model
from bert_playground.models.quantization_utils import quantize_model
from bert_playground.models.tokenwise import named_parameters, prepack_weights
from bert_playground.serving.app import create_app
from bert_playground.serving.engine import Engine
from bert_playground.serving.settings import ServeSettings
from bert_playground.tabular.predictor import fit_tabular

NUM_ROWS = 60


def make_table() -> pl.DataFrame:
    """Numbers, categories, texts of very different lengths, missing cells, and a target of each kind."""
    random = np.random.default_rng(3)
    words = ["oak", "old", "red", "soft", "tall", "thin", "wide", "wet"]
    rows = range(NUM_ROWS)
    return pl.DataFrame(
        {
            "id": [f"{row:03d}" for row in rows],
            "color": [["red", "blue", "green", None][row % 4] for row in rows],
            "size": [None if row % 11 == 5 else f"{row % 7 + row / 8:.3f}" for row in rows],
            "note": [" ".join(random.choice(words, 1 + row * row % 37)) for row in rows],
            "bought": [["yes", "no", "no"][row % 3] for row in rows],
            "kind": [["a", "b", "c"][row * 5 % 3] for row in rows],
            "price": [f"{3 + (row * 7 % 13) / 3:.2f}" for row in rows],
            "is_new": [str(row % 2) for row in rows],
            "is_big": [str(row // 2 % 2) for row in rows],
        },
        schema_overrides={"color": pl.String, "size": pl.String},
    )


TABLE = make_table()
TARGETS = ("bought", "kind", "price", "is_new", "is_big")
ROWS = TABLE.drop(TARGETS)


def fit(target: str = "bought", task: str | None = None, **options: Any) -> TextPipeline:
    section = DataSection(
        target=target.split(","),
        id_column="id",
        task=task,
        class_order=["a", "b", "c"] if task == "ordinal" else None,
        drop_columns=[name for name in TARGETS if name not in target.split(",")],
    )
    return TextPipeline.fit(
        TABLE,
        decide(TABLE, section),
        TextOptions(drop_columns=tuple(section.drop_columns), **options),
        vocab_size=200,
    )


def make_predictor(
    target: str = "bought",
    head: str = "binary",
    task: str | None = None,
    *,
    seed: int = 0,
    is_quantized: bool = False,
    encoder: str = "bert",
    pipeline: TextPipeline | None = None,
    **options: Any,
) -> Predictor:
    pipeline = pipeline or fit(target, task)
    mx.random.seed(seed)
    model = create_model(
        encoder,
        head,
        pipeline.num_labels if head not in ("binary", "regression") else None,
        vocab_size=pipeline.vocab_size,
        hidden_size=64 if is_quantized else 24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64 if is_quantized else 40,
        initializer_range=0.5,
        numeric_tokens=pipeline.number_tokens,
        **options,
    ).eval()
    if is_quantized:
        quantize_model(model.encoder, bits=4, group_size=32)
    mx.eval(list(named_parameters(model).values()))
    prepack_weights(model.encoder, mx.float32)
    return Predictor(model, pipeline, Path("checkpoint"))


def make_ensemble() -> EnsemblePredictor:
    members = tuple(make_predictor(seed=seed) for seed in range(3))
    return EnsemblePredictor(members, (0.5, 0.3, 0.2), Path("ensemble"))


def make_tabular(name: str = "linear") -> Any:
    return fit_tabular(name, fit(), TABLE)


def make_blend() -> BlendPredictor:
    """Two encoders of one member, and a linear model."""
    members = {
        "encoder": (make_predictor(seed=1), make_predictor(seed=2)),
        "linear": (make_tabular(),),
    }
    combiner = Combiner(
        "logistic", "binary", (0.6, 0.4), coefficients=((0.8, 0.5),), intercepts=(0.1,)
    )
    return BlendPredictor(members, Stack(("encoder", "linear"), combiner), fit(), Path("blend"))


KINDS: dict[str, Callable[[], AnyPredictor]] = {
    "binary": make_predictor,
    "multiclass": lambda: make_predictor("kind", "multiclass"),
    "ordinal": lambda: make_predictor("kind", "ordinal", "ordinal"),
    "multilabel": lambda: make_predictor("is_new,is_big", "multilabel", "multilabel"),
    "regression": lambda: make_predictor("price", "regression", "regression"),
    "uncertain": lambda: make_predictor(
        "price", "regression", "regression", uncertainty_estimation=True
    ),
    "calibrated": lambda: make_predictor(temperature_scaling=2.5),
    "mean pooling": lambda: make_predictor(pooling="mean"),
    "attention pooling": lambda: make_predictor(pooling="attention"),
    "max pooling": lambda: make_predictor(pooling="max"),
    "modernbert": lambda: make_predictor(encoder="modernbert"),
    "quantized": lambda: make_predictor(is_quantized=True),
    "ensemble": make_ensemble,
    "tabular": make_tabular,
    "blend": make_blend,
}


@contextmanager
def engine_of(load: Callable[[], AnyPredictor], **settings: Any) -> Iterator[Engine]:
    """An engine with one model called "shop"."""
    engine = Engine(ServeSettings(name="shop", **settings))
    try:
        engine.load("shop", load)
        yield engine
    finally:
        engine.stop()


@contextmanager
def client_of(
    load: Callable[[], AnyPredictor] = make_predictor,
    *,
    app: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Any]:
    """A client of a server with one model called "shop", warmed up."""
    from starlette.testclient import TestClient

    engine = Engine(ServeSettings(name="shop", **settings))
    engine.load("shop", load)
    with TestClient(
        create_app(engine, **{"write_log": None, **(app or {})}), raise_server_exceptions=False
    ) as client:
        while client.get("/health").status_code != 200:
            pass
        client.engine = engine
        yield client


def records(frame: pl.DataFrame = ROWS) -> list[dict[str, Any]]:
    return frame.to_dicts()
