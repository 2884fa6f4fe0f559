"""The routes of text-embeddings-inference: /predict, /embed, /embed_all, /similarity, /tokenize, /info, /health."""

import time
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import JSONResponse, Response

from bert_playground.serving.direct_routes import Handler, PassOnError
from bert_playground.serving.engine import Engine
from bert_playground.serving.joint_texts import TextsAnswered, TextsAsked, answer_texts_jointly
from bert_playground.serving.request_error import RequestError
from bert_playground.serving.row_schemas import ERROR_RESPONSES
from bert_playground.serving.served_model import ServedModel
from bert_playground.serving.text_answers import (
    TextAnswer,
    ask_encoder,
    label_logits,
    normalize,
)
from bert_playground.serving.text_inputs import (
    Text,
    Truncation,
    read_texts,
    require_batch,
    require_text,
)

Direction = Literal["left", "right", "Left", "Right"]
ModelName = Field(default=None, description="which of several models; the first by default")


class PredictRequest(BaseModel):
    """What text-embeddings-inference calls a PredictRequest."""

    inputs: str | list[str] | list[list[str]]
    truncate: bool | None = None
    truncation_direction: Direction = "right"
    raw_scores: bool = False
    model: str | None = ModelName


class EmbedRequest(BaseModel):
    """Texts to embed."""

    inputs: str | list[str]
    truncate: bool | None = None
    truncation_direction: Direction = "right"
    normalize: bool = True
    model: str | None = ModelName


class EmbedAllRequest(BaseModel):
    """Texts whose tokens are embedded."""

    inputs: str | list[str]
    truncate: bool | None = None
    truncation_direction: Direction = "right"
    model: str | None = ModelName


class SimilarityInput(BaseModel):
    """A text, and those that are compared with it."""

    source_sentence: str
    sentences: list[str]


class SimilarityParameters(BaseModel):
    """How texts are cut."""

    truncate: bool | None = None
    truncation_direction: Direction = "right"


class SimilarityRequest(BaseModel):
    """Texts to compare."""

    inputs: SimilarityInput
    parameters: SimilarityParameters | None = None
    model: str | None = ModelName


class TokenizeRequest(BaseModel):
    """Texts to tokenise."""

    inputs: str | list[str]
    add_special_tokens: bool = True
    model: str | None = ModelName


class LabelledScore(BaseModel):
    """A label, and how probable it is."""

    score: float | None
    label: str


class Token(BaseModel):
    """A piece of a text, and where it stands."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def create_tei_routes(engine: Engine) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["text-embeddings-inference"], responses=ERROR_RESPONSES)
    _add_predict(router, engine)
    _add_embeddings(router, engine)
    _add_comparison(router, engine)
    _add_status(router, engine)
    return router


def _add_predict(router: APIRouter, engine: Engine) -> None:
    @router.post("/", include_in_schema=False)
    @router.post("/predict", response_model=list[LabelledScore] | list[list[LabelledScore]])
    async def predict(asked: PredictRequest, request: Request) -> JSONResponse:
        """Labels of texts as they stand, each with its probability, the most probable first."""
        return JSONResponse(await _predict(engine, asked, request.scope["state"]))


def create_predict_handler(engine: Engine) -> Handler:
    """/predict for `DirectRoutes`; the route above says what is wrong with a document."""

    async def predict(body: bytes, state: dict[str, Any]) -> Any:
        try:
            asked = PredictRequest.model_validate_json(body)
        except ValidationError as error:
            raise PassOnError from error
        return await _predict(engine, asked, state)

    return predict


async def _predict(engine: Engine, asked: PredictRequest, state: dict[str, Any]) -> Any:
    served = engine.find(asked.model)
    texts, is_batch = read_texts(asked.inputs, engine.settings.max_client_batch_size)
    cut = _truncation(engine, served, asked.truncate, asked.truncation_direction)
    if asked.raw_scores:
        leaf = served.require_encoder("raw_scores")
        answer = await engine.in_time(ask_encoder(engine, leaf, texts, cut, "logits"))
        labelled = label_logits(served, answer.values)
        _note(engine, state, answer)
    else:
        labelled = await engine.in_time(_label(engine, served, texts, cut, state))
    return labelled if is_batch else labelled[0]


async def _label(
    engine: Engine, served: ServedModel, texts: list[Text], cut: Truncation, state: dict[str, Any]
) -> list[list[dict[str, Any]]]:
    joined = (id(served), cut)
    answer = partial(answer_texts_jointly, engine, served, cut)
    asked = TextsAsked(texts, time.perf_counter())
    answered: TextsAnswered = await engine.joiner.ask(joined, answer, asked, len(texts))
    state["stages"].update(answered.stages)
    state["facts"].update(rows=len(texts), tokens=answered.num_tokens)
    return answered.labelled


def _add_embeddings(router: APIRouter, engine: Engine) -> None:
    @router.post("/embed", response_model=list[list[float]])
    async def embed(asked: EmbedRequest, request: Request) -> JSONResponse:
        """The vector that the head pools of each text; of length 1 unless `normalize` is false."""
        served = engine.find(asked.model)
        cut = _truncation(engine, served, asked.truncate, asked.truncation_direction)
        answer = await _embed(engine, served, _listed(asked.inputs), cut, "embedding")
        _note(engine, request.scope["state"], answer)
        vectors = normalize(answer.values) if asked.normalize else answer.values
        return JSONResponse(vectors.tolist())

    @router.post("/embed_all", response_model=list[list[list[float]]])
    async def embed_all(asked: EmbedAllRequest, request: Request) -> JSONResponse:
        """The vector of each token of each text, as the encoder's last layer gives it."""
        served = engine.find(asked.model)
        cut = _truncation(engine, served, asked.truncate, asked.truncation_direction)
        answer = await _embed(engine, served, _listed(asked.inputs), cut, "hidden")
        _note(engine, request.scope["state"], answer)
        ends = answer.table.offsets[1:-1]
        return JSONResponse([vectors.tolist() for vectors in np.split(answer.values, ends)])


def _add_comparison(router: APIRouter, engine: Engine) -> None:
    @router.post("/similarity", response_model=list[float])
    async def compare(asked: SimilarityRequest, request: Request) -> JSONResponse:
        """The cosine between the embedding of a text and those of others."""
        served = engine.find(asked.model)
        parameters = asked.parameters or SimilarityParameters()
        cut = _truncation(engine, served, parameters.truncate, parameters.truncation_direction)
        require_batch(len(asked.inputs.sentences), engine.settings.max_client_batch_size)
        texts = [asked.inputs.source_sentence, *asked.inputs.sentences]
        answer = await _embed(engine, served, texts, cut, "embedding", most=len(texts))
        _note(engine, request.scope["state"], answer)
        vectors = normalize(answer.values)
        return JSONResponse((vectors[1:] @ vectors[0]).tolist())

    @router.post("/tokenize", response_model=list[list[Token]])
    async def tokenize(asked: TokenizeRequest) -> JSONResponse:
        """The tokens of each text; `start` and `stop` count its letters."""
        served = engine.find(asked.model)
        texts = _read(_listed(asked.inputs), engine.settings.max_client_batch_size)
        require_reader(served)
        found = [
            await engine.in_thread(_spell_tokens, served, text.first, asked.add_special_tokens)
            for text in texts
        ]
        return JSONResponse(found)


def _add_status(router: APIRouter, engine: Engine) -> None:
    @router.get("/info")
    async def describe(model: str | None = None) -> dict[str, Any]:
        """The model and the limits."""
        return _describe(engine, engine.find(model))

    @router.get("/health", responses={503: {"description": "not ready"}})
    @router.get("/ping", include_in_schema=False)
    async def check_health() -> Response:
        """200 when requests are answered."""
        if not (engine.is_ready and engine.scheduler.is_running):
            raise RequestError("Unhealthy", "the model is not ready yet; ask again in a moment")
        return Response(status_code=200)

    @router.get("/metrics")
    async def show_metrics() -> Response:
        """What Prometheus reads."""
        return Response(engine.metrics.render(), media_type="text/plain; version=0.0.4")


def _listed(inputs: str | list[str]) -> list[str]:
    return [inputs] if isinstance(inputs, str) else inputs


def _read(texts: list[str], most: int) -> list[Text]:
    require_batch(len(texts), most)
    return [require_text(Text(text)) for text in texts]


async def _embed(
    engine: Engine,
    served: ServedModel,
    texts: list[str],
    cut: Truncation,
    answer: str,
    most: int | None = None,
) -> TextAnswer:
    leaf = served.require_encoder("an embedding")
    read = _read(texts, most or engine.settings.max_client_batch_size)
    return await engine.in_time(ask_encoder(engine, leaf, read, cut, answer))


def _truncation(
    engine: Engine, served: ServedModel, truncate: bool | None, direction: str
) -> Truncation:
    is_allowed = engine.settings.auto_truncate if truncate is None else truncate
    return Truncation(is_allowed, direction.lower() == "left", served.max_length)


def _note(engine: Engine, state: dict[str, Any], answer: TextAnswer) -> None:
    """For headers, metrics and the log."""
    state["stages"].update(answer.stages)
    tokens = int(answer.table.offsets[-1])
    state["facts"].update(rows=answer.table.num_rows, tokens=tokens)
    engine.metrics.observe_lengths(answer.table.lengths)


def require_reader(served: ServedModel) -> None:
    """Refuse texts where nobody reads them.

    Raises:
        RequestError: no model is an encoder.
    """
    if not served.max_length:
        served.require_encoder("a text")


def _spell_tokens(served: ServedModel, text: str, add_special_tokens: bool) -> list[dict[str, Any]]:
    tokenizer = served.pipeline.tokenizer.tokenizer
    encoding = tokenizer.encode(text, add_special_tokens=add_special_tokens)
    special = encoding.special_tokens_mask
    spans = zip(encoding.ids, encoding.tokens, special, encoding.offsets, strict=True)
    return [
        {
            "id": number,
            "text": word if is_special else text[start:stop],
            "special": bool(is_special),
            "start": None if is_special else start,
            "stop": None if is_special else stop,
        }
        for number, word, is_special, (start, stop) in spans
    ]


def _describe(engine: Engine, served: ServedModel) -> dict[str, Any]:
    settings, classes = engine.settings, [str(name) for name in served.pipeline.classes]
    encoder = served.parts.encoder
    precision = (
        "mixed"
        if encoder is None
        else str(encoder.predictor.model.encoder.dtype).removeprefix("mlx.core.")
    )
    classifier = {
        "id2label": {str(number): name for number, name in enumerate(classes)},
        "label2id": {name: number for number, name in enumerate(classes)},
    }
    return {
        "model_id": served.name,
        "model_sha": None,
        "model_dtype": precision,
        "model_type": {"classifier": classifier},
        "max_concurrent_requests": settings.max_concurrent_requests,
        "max_input_length": served.max_length,
        "max_batch_tokens": settings.max_batch_tokens,
        "max_batch_requests": settings.max_batch_requests,
        "max_client_batch_size": settings.max_client_batch_size,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": settings.tokenization_workers,
        "version": version("bert-playground"),
        "sha": None,
        "docker_label": None,
        "task": served.task,
        "target": list(served.pipeline.targets),
        "models": list(engine.models),
    }
