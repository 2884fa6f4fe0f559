"""Whatever rows are batched with, they are answered as by `predict`, bit for bit."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_playground import kernels
from bert_playground.inference import AnyPredictor
from bert_playground.serving.engine import Engine
from bert_playground.serving.joint_rows import RowsAsked, answer_rows_jointly
from bert_playground.serving.served_model import describe_answers
from tests.serving.served import KINDS, NUM_ROWS, ROWS, engine_of

pytestmark = pytest.mark.skipif(
    not kernels.is_native(), reason="only the native kernels compute a row alike in every batch"
)
# The same rows, every third of them with cells that reading rewrites or that training did not know.
ODD = ROWS.with_columns(
    pl.when(pl.int_range(pl.len()) % 3 == 0).then(odd).otherwise(pl.col(name)).alias(name)
    for name, odd in (
        ("color", pl.col("color").str.to_uppercase()),
        ("size", pl.col("size").str.replace(".", ",", literal=True)),
        ("note", pl.lit("n/a")),
    )
)
Served = tuple[Engine, AnyPredictor, np.ndarray]


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A small budget, so that requests are cut as well as joined."""
    with engine_of(KINDS[request.param], max_batch_tokens=300) as engine:
        predictor = engine.find(None).predictor
        yield engine, predictor, predictor.predict(ROWS)


async def ask_all(engine: Engine, requests: list[list[int]]) -> list[np.ndarray]:
    model = engine.find(None)
    scored = await asyncio.gather(*(engine.score_rows(model, ROWS[rows]) for rows in requests))
    return [each.scores for each in scored]


@settings(max_examples=4)
@given(
    requests=st.lists(
        st.lists(st.integers(0, NUM_ROWS - 1), min_size=1, max_size=9), min_size=1, max_size=6
    )
)
@pytest.mark.quick_for(
    "binary", "ensemble", "calibrated", "mean pooling", "multilabel", "quantized"
)
def test_requests_at_once_get_the_answers_of_predict(
    served: Served, requests: list[list[int]]
) -> None:
    engine, predictor, whole = served
    answers = asyncio.run(ask_all(engine, requests))
    for rows, scores in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(scores, whole[rows])
    np.testing.assert_array_equal(answers[0], predictor.predict(ROWS[requests[0]]))


@settings(max_examples=2)
@given(
    requests=st.lists(
        st.lists(st.integers(0, NUM_ROWS - 1), min_size=1, max_size=9), min_size=2, max_size=4
    )
)
@pytest.mark.quick_for("binary", "multilabel", "ensemble", "calibrated")
def test_requests_that_are_joined_get_the_answers_of_predict(
    served: Served, requests: list[list[int]]
) -> None:
    engine, predictor, _ = served
    model = engine.find(None)
    frames = [(ODD if place % 2 else ROWS)[rows] for place, rows in enumerate(requests)]
    asked = [
        RowsAsked(each.to_dict(as_series=False), each.height, place % 3 == 0, 0.0)
        for place, each in enumerate(frames)
    ]
    answered = answer_rows_jointly(engine, model, asked, Future())
    for frame, each in zip(frames, answered, strict=True):
        assert each.answers == describe_answers(model, predictor.predict(frame))


@pytest.mark.quick_for("binary")
def test_requests_that_are_joined_are_told_the_drift_of_their_own_rows(served: Served) -> None:
    engine, _, _ = served
    model = engine.find(None)
    frames = [
        ROWS[:40],
        ODD[:40],
        ODD[[0, 3, 6]],
        ROWS[:1],
        ROWS[:9].with_columns(note=pl.lit("x" * 999)),
    ]
    asked = [RowsAsked(each.to_dict(as_series=False), each.height, True, 0.0) for each in frames]
    answered = answer_rows_jointly(engine, model, asked, Future())
    for frame, each in zip(frames, answered, strict=True):
        drift = model.pipeline.watch_drift()
        model.parts.read(frame, drift)
        assert each.findings == drift.findings()
    assert any(each.findings for each in answered)
