"""/v1/embeddings in the shape of OpenAI, and the list of models."""

import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse

from bert_playground.data.tokens.token_table import TokenizedTable, offsets_of
from bert_playground.serving.engine import Engine
from bert_playground.serving.request_error import RequestError, bad_input, too_large
from bert_playground.serving.row_schemas import ERROR_RESPONSES
from bert_playground.serving.served_model import ServedModel
from bert_playground.serving.text_answers import TextAnswer, ask_encoder, normalize
from bert_playground.serving.text_inputs import Text, Truncation, require_batch, require_text


class EmbeddingsRequest(BaseModel):
    """Texts, or token ids, to embed."""

    input: str | list[str] | list[int] | list[list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = None
    user: str | None = None


class Embedding(BaseModel):
    """A vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


def create_openai_routes(engine: Engine) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["OpenAI"], responses=ERROR_RESPONSES)

    @router.post("/v1/embeddings", response_model=EmbeddingsAnswer)
    @router.post("/embeddings", include_in_schema=False)
    async def embed(asked: EmbeddingsRequest, request: Request) -> JSONResponse:
        """The vectors that the head pools, of length 1."""
        served = _find(engine, asked.model)
        answer = await engine.in_time(_embed(engine, served, asked))
        request.state.stages.update(answer.stages)
        vectors = normalize(_shorten(answer.values, asked.dimensions)).astype("<f4")
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode()
                if asked.encoding_format == "base64"
                else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ]
        tokens = int(answer.table.offsets[-1])
        request.state.facts.update(rows=len(data), tokens=tokens)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": served.name, "usage": usage})

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        """The models that are served."""
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "bert-playground"}
            for name in engine.models
        ]
        return {"object": "list", "data": listed}

    return router


def _find(engine: Engine, name: str | None) -> ServedModel:
    """Clients of OpenAI always name a model; a name that is none of ours means the only one."""
    if name not in engine.models and len(engine.models) == 1:
        return engine.find(None)
    return engine.find(name)


async def _embed(engine: Engine, served: ServedModel, asked: EmbeddingsRequest) -> TextAnswer:
    leaf = served.require_encoder("an embedding")
    cut = Truncation(engine.settings.auto_truncate, from_left=False, max_length=served.max_length)
    inputs: list[Any] = [asked.input] if isinstance(asked.input, str) else list(asked.input)
    if inputs and all(isinstance(each, int) for each in inputs):
        inputs = [inputs]
    require_batch(len(inputs), engine.settings.max_client_batch_size)
    if isinstance(inputs[0], list):
        table = _table_of(inputs, served)
        return await ask_encoder(engine, leaf, table, cut, "embedding")
    texts = [require_text(Text(text)) for text in inputs]
    return await ask_encoder(engine, leaf, texts, cut, "embedding")


def _table_of(rows: list[list[int]], served: ServedModel) -> TokenizedTable:
    """Token ids as they were given, special tokens included.

    Raises:
        RequestError: ids that the vocabulary lacks, or rows that are too long or empty.
    """
    size, numbers = served.pipeline.vocab_size, served.pipeline.numbers
    for row in rows:
        if not row:
            raise RequestError("Empty", "`input` has a list without token ids")
        if len(row) > served.max_length:
            raise too_large(
                f"`input` has {len(row)} token ids, and the model reads {served.max_length}"
            )
        if min(row) < 0 or max(row) >= size:
            raise bad_input(f"`input` has token ids outside of 0 to {size - 1}")
    ids = np.concatenate([np.array(row, dtype=np.int32) for row in rows])
    offsets = offsets_of(np.array([len(row) for row in rows]))
    missing = np.full((len(rows), len(numbers)), np.nan, np.float32) if numbers else None
    return TokenizedTable(ids, offsets, numbers=missing)


def _shorten(vectors: np.ndarray, dimensions: int | None) -> np.ndarray:
    if dimensions is None:
        return vectors
    if not 1 <= dimensions <= vectors.shape[1]:
        raise bad_input(f"dimensions is {dimensions}, expected 1 to {vectors.shape[1]}")
    return vectors[:, :dimensions]
