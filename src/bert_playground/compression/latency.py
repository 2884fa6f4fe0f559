"""measure_latency: milliseconds of an answer on this machine, two models in turn so that a busy minute hits both."""

import time
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.data.core.types import Batch
from bert_playground.inference import Predictor

WARM_UPS = 3
LEAST_ROUNDS, MOST_ROUNDS = 15, 200
SECONDS = 3.0  # of both models together


@dataclass(frozen=True)
class Latency:
    """Of one batch.

    Attributes:
        milliseconds: median over rounds.
        full: the same of the full model, in the same rounds.
        ratio: median over rounds of one by the other, which a busy machine disturbs least.
        rounds: how many.
    """

    milliseconds: float
    full: float
    ratio: float
    rounds: int


def measure_latency(model: Predictor, full: Predictor, frame: pl.DataFrame, rows: int) -> Latency:
    """Time the forward pass of both models on the same rows, which are tokens already.

    Args:
        model: the smaller one, as `predict` and `serve` load it.
        full: likewise.
        frame: rows to draw from; those of middling length are taken.
        rows: in the batch.
    """
    batches = [_make_batch(each, frame, rows) for each in (model, full)]
    for _ in range(WARM_UPS):
        for each, batch in zip((model, full), batches, strict=True):
            _seconds(each, batch)
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + SECONDS
    while len(times) < LEAST_ROUNDS or (len(times) < MOST_ROUNDS and time.perf_counter() < end):
        times.append((_seconds(model, batches[0]), _seconds(full, batches[1])))
    table = np.array(times)
    medians = np.median(table, axis=0) * 1000
    ratio = float(np.median(table[:, 0] / table[:, 1]))
    return Latency(float(medians[0]), float(medians[1]), ratio, len(times))


def _make_batch(predictor: Predictor, frame: pl.DataFrame, rows: int) -> Batch:
    loader = predictor.pipeline.make_loader(frame, batch_size=rows)
    lengths = loader.table.lengths
    start = max(0, (len(lengths) - rows) // 2)
    return loader.make_batch(np.argsort(lengths, kind="stable")[start : start + rows])


def _seconds(predictor: Predictor, batch: Batch) -> float:
    started = time.perf_counter()
    mx.eval(predictor.model.head.predict(predictor.model(batch.tokens)))
    return time.perf_counter() - started
