"""answer_texts_jointly: the texts of several small requests, made tokens, computed and labelled together."""

from collections.abc import Sequence
from concurrent.futures import Future
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from bert_playground.serving.engine import Engine, stages_of
from bert_playground.serving.served_model import ServedModel
from bert_playground.serving.text_answers import label_scores, require_encoders
from bert_playground.serving.text_inputs import Text, Truncation, tokenize_texts


class TextsAsked(NamedTuple):
    """What one request asks, and when it came, by `time.perf_counter`."""

    texts: list[Text]
    began: float


class TextsAnswered(NamedTuple):
    """What one request gets.

    Attributes:
        labelled: see `label_scores`.
        num_tokens: of its texts.
        stages: see `stages_of`.
    """

    labelled: list[list[dict[str, Any]]]
    num_tokens: int
    stages: dict[str, float]


def answer_texts_jointly(
    engine: Engine,
    served: ServedModel,
    cut: Truncation,
    asked: Sequence[TextsAsked],
    wanted: Future[None],
) -> list[TextsAnswered]:
    """What each request would get alone, bit for bit; blocks, so it wants a thread.

    Args:
        engine: computes.
        served: the model.
        cut: what is done with texts that are too long.
        asked: the requests.
        wanted: is cancelled when nobody waits any more.

    Raises:
        RequestError: a model reads no text, a text is too long, the models fail, or it takes too long.
    """
    texts = list(chain.from_iterable(each.texts for each in asked))
    leaves = require_encoders(served)
    tables = [tokenize_texts(leaf.predictor.pipeline, texts, cut) for leaf in leaves]
    engine.metrics.observe_lengths(tables[0].lengths)
    futures = [
        engine.scheduler.submit(leaf, table) for leaf, table in zip(leaves, tables, strict=True)
    ]
    scores, computed = engine.wait_for(served, futures, wanted)
    labelled = label_scores(served, scores)
    ends = np.cumsum([0, *(len(each.texts) for each in asked)]).tolist()
    tokens = tables[0].offsets[ends].tolist()
    return [
        TextsAnswered(labelled[start:end], after - before, stages_of(computed, each.began))
        for each, (start, end), (before, after) in zip(
            asked, pairwise(ends), pairwise(tokens), strict=True
        )
    ]
