"""Whatever rows are batched with, they are answered as by `predict`, bit for bit."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_playground import kernels
from bert_playground.inference import AnyPredictor
from bert_playground.serving.engine import Engine
from tests.serving.served import KINDS, NUM_ROWS, ROWS, engine_of

pytestmark = pytest.mark.skipif(
    not kernels.is_native(), reason="only the native kernels compute a row alike in every batch"
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
