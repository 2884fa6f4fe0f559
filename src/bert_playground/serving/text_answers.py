"""What texts get as answers: labels with scores, embeddings, vectors of tokens."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.serving.engine import Engine, stages_of
from bert_playground.serving.forward import EncoderLeaf
from bert_playground.serving.request_error import not_supported
from bert_playground.serving.served_model import ServedModel, clean_number
from bert_playground.serving.text_inputs import Text, Truncation, tokenize_texts

Array = np.ndarray[Any, Any]
SHORT_LETTERS = 2000  # half a millisecond
NO_LOGITS = ("ordinal",)  # heads whose logits are no score of a class each


class TextAnswer(NamedTuple):
    """Values for texts, and how long they took.

    Attributes:
        values: [R, ...]; of "hidden" [N, H], a line for each token.
        table: the tokens, of the first model.
        stages: seconds by stage, see `stages_of`.
    """

    values: Array
    table: TokenizedTable
    stages: dict[str, float]


async def answer_texts(
    engine: Engine, served: ServedModel, texts: Sequence[Text], truncation: Truncation
) -> TextAnswer:
    """Scores of texts, of all models that answer together.

    Raises:
        RequestError: a model reads no text, or a text is too long.
    """
    began = time.perf_counter()
    leaves = require_encoders(served)
    tables = [await _tokenize(engine, leaf, texts, truncation) for leaf in leaves]
    futures = [
        engine.scheduler.submit(leaf, table) for leaf, table in zip(leaves, tables, strict=True)
    ]
    computed = await asyncio.gather(*map(asyncio.wrap_future, futures))
    scores = await asyncio.wrap_future(engine.combine(served, computed))
    return TextAnswer(scores, tables[0], stages_of(computed, began))


def require_encoders(served: ServedModel) -> list[EncoderLeaf]:
    """The encoders that answer texts together.

    Raises:
        RequestError: a model beside them reads no text.
    """
    leaves = [leaf for leaf in served.parts.leaves if isinstance(leaf, EncoderLeaf)]
    if len(leaves) < len(served.parts.leaves):
        raise not_supported(
            f"{served.name!r} has models beside the encoder, which read cells and no text; ask /predict/rows"
        )
    return leaves


async def ask_encoder(
    engine: Engine,
    leaf: EncoderLeaf,
    texts: Sequence[Text] | TokenizedTable,
    truncation: Truncation,
    answer: str,
) -> TextAnswer:
    """Logits, embeddings or vectors of tokens, of one encoder."""
    began = time.perf_counter()
    if isinstance(texts, TokenizedTable):
        table = texts
    else:
        table = await _tokenize(engine, leaf, texts, truncation)
    computed = await asyncio.wrap_future(engine.scheduler.submit(leaf, table, answer))
    return TextAnswer(computed.values, table, stages_of([computed], began))


async def _tokenize(
    engine: Engine, leaf: EncoderLeaf, texts: Sequence[Text], truncation: Truncation
) -> TokenizedTable:
    """In another thread, unless the texts are so short that to change threads takes longer."""
    pipeline = leaf.predictor.pipeline
    if sum(len(text.first) + len(text.second or "") for text in texts) <= SHORT_LETTERS:
        return tokenize_texts(pipeline, texts, truncation)
    return await engine.in_thread(tokenize_texts, pipeline, texts, truncation)


def label_scores(served: ServedModel, scores: Array) -> list[list[dict[str, Any]]]:
    """For each text its labels with their probabilities, the most probable first; of numbers the target with its value."""
    if served.has_probabilities:
        table = served.pipeline.probabilities(scores)
    else:
        table = served.predictor.answers(scores)
    answers = []
    for row in table.rows():
        labelled = [
            {"score": clean_number(value), "label": name}
            for name, value in zip(table.columns, row, strict=True)
        ]
        if served.has_probabilities:
            labelled.sort(key=lambda each: -each["score"])
        answers.append(labelled)
    return answers


def label_logits(served: ServedModel, logits: Array) -> list[list[dict[str, Any]]]:
    """As `label_scores`, the head's logits as they are; of two classes those whose softmax is their probability.

    Raises:
        RequestError: the head has no logit for each class.
    """
    head = served.require_encoder("raw_scores").predictor.model.head
    if head.head_type in NO_LOGITS:
        raise not_supported(
            f"{served.name!r} has an {head.head_type} head, which has no score of its own for each class; leave out raw_scores"
        )
    if served.task == "binary" and logits.ndim == 1:
        logits = np.stack([-logits / 2, logits / 2], axis=1)
    logits = logits.reshape(len(logits), -1)
    names = [str(name) for name in served.pipeline.classes or served.pipeline.targets]
    if logits.shape[1] > len(names):
        names += [f"output_{place}" for place in range(len(names), logits.shape[1])]
    return [
        sorted(
            (
                {"score": float(value), "label": name}
                for name, value in zip(names, row, strict=True)
            ),
            key=lambda each: -float(str(each["score"])),
        )
        for row in logits
    ]


def normalize(vectors: Array) -> Array:
    """Vectors of length 1; one of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))
