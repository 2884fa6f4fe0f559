"""The routes of KServe's Open Inference Protocol v2: a tensor for each column, or texts; JSON and its binary extension."""

from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from bert_playground.serving.engine import Engine, ScoredRows, frame_of
from bert_playground.serving.kserve_tensors import (
    HEADER_LENGTH,
    InferRequest,
    Tensor,
    is_word,
    read_infer_request,
    write_infer_answer,
)
from bert_playground.serving.request_error import RequestError, bad_input, too_large
from bert_playground.serving.row_schemas import ERROR_RESPONSES
from bert_playground.serving.served_model import ServedModel, confidence_of
from bert_playground.serving.text_answers import answer_texts
from bert_playground.serving.text_inputs import Text, Truncation, require_batch, require_text

TEXT = (
    "text"  # the input that takes texts as they stand, where the model has no column of that name
)
DATATYPES = {pl.Int64: "INT64", pl.Float64: "FP64", pl.Boolean: "BOOL"}
INFER_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["name", "shape", "datatype", "data"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "shape": {"type": "array", "items": {"type": "integer"}},
                                    "datatype": {"type": "string"},
                                    "data": {"type": "array"},
                                },
                            },
                        },
                    },
                }
            }
        },
    }
}


def create_kserve_routes(engine: Engine) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v2", tags=["KServe v2"], responses=ERROR_RESPONSES)

    @router.get("")
    async def describe_server() -> dict[str, Any]:
        """What answers here."""
        return {
            "name": "bert-playground",
            "version": version("bert-playground"),
            "extensions": ["binary_tensor_data"],
        }

    @router.get("/health/live")
    async def check_live() -> dict[str, bool]:
        """200 while the process lives."""
        return {"live": True}

    @router.get("/health/ready")
    async def check_ready() -> dict[str, bool]:
        """200 when requests are answered."""
        _require_ready(engine)
        return {"ready": True}

    @router.get("/models/{name}")
    @router.get("/models/{name}/versions/{model_version}", include_in_schema=False)
    async def describe_model(name: str) -> dict[str, Any]:
        """The inputs and outputs of a model."""
        return describe_tensors(engine.find(name))

    @router.get("/models/{name}/ready")
    @router.get("/models/{name}/versions/{model_version}/ready", include_in_schema=False)
    async def check_model(name: str) -> dict[str, Any]:
        """200 when the model answers."""
        engine.find(name)
        _require_ready(engine)
        return {"name": name, "ready": True}

    @router.post("/models/{name}/infer", openapi_extra=INFER_OPENAPI)
    @router.post("/models/{name}/versions/{model_version}/infer", include_in_schema=False)
    async def infer(name: str, request: Request) -> Response:
        """The answers to rows, a tensor for each column; or to texts, in one tensor called "text"."""
        served = engine.find(name)
        length = request.headers.get(HEADER_LENGTH)
        asked = read_infer_request(await request.body(), length)
        outputs = await engine.in_time(_infer(engine, served, asked, request))
        document, body = write_infer_answer(served.name, asked, outputs)
        if not body:
            return JSONResponse(document)
        content, json_length = body
        return Response(
            content,
            media_type="application/octet-stream",
            headers={HEADER_LENGTH: str(json_length)},
        )

    return router


def _require_ready(engine: Engine) -> None:
    if not (engine.is_ready and engine.scheduler.is_running):
        raise RequestError("Unhealthy", "the model is not ready yet; ask again in a moment")


def describe_tensors(served: ServedModel) -> dict[str, Any]:
    """The metadata of a model: every column is an input, of any datatype; the outputs are those of its answers."""
    inputs = [{"name": name, "datatype": "BYTES", "shape": [-1, 1]} for name in served.needed]
    shape = (1,) if served.task in ("binary", "regression") else (1, served.pipeline.num_labels)
    scored = ScoredRows(np.full(shape, 0.5), None, [], [], {})
    outputs = [
        {"name": each.name, "datatype": each.datatype, "shape": [-1, *each.shape[1:]]}
        for each in _outputs(served, scored)
    ]
    return {
        "name": served.name,
        "versions": ["1"],
        "platform": "bert_playground_mlx",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {
            "task": served.task,
            "classes": [str(name) for name in served.pipeline.classes],
        },
    }


async def _infer(
    engine: Engine, served: ServedModel, asked: InferRequest, request: Request
) -> list[Tensor]:
    names = [tensor.name for tensor in asked.inputs]
    if names == [TEXT] and TEXT not in served.needed:
        return await _infer_texts(engine, served, asked.inputs[0], request)
    frame = await engine.in_thread(_frame_of, served, asked.inputs, engine.settings.max_rows)
    scored = await engine.score_rows(served, frame)
    request.state.stages.update(scored.stages)
    request.state.facts["rows"] = frame.height
    return await engine.in_thread(_outputs, served, scored)


async def _infer_texts(
    engine: Engine, served: ServedModel, tensor: Tensor, request: Request
) -> list[Tensor]:
    require_batch(len(tensor.data), engine.settings.max_client_batch_size)
    wrong = [value for value in tensor.data if not is_word(value)]
    if wrong:
        raise bad_input(f"the input {TEXT!r} holds {wrong[0]!r}, expected texts (BYTES)")
    texts = [require_text(Text(str(value))) for value in tensor.data]
    cut = Truncation(engine.settings.auto_truncate, from_left=False, max_length=served.max_length)
    answer = await answer_texts(engine, served, texts, cut)
    request.state.stages.update(answer.stages)
    request.state.facts["rows"] = len(texts)
    scored = ScoredRows(answer.values, None, [], [], answer.stages)
    return await engine.in_thread(_outputs, served, scored)


def _frame_of(served: ServedModel, inputs: list[Tensor], max_rows: int) -> pl.DataFrame:
    """The table whose columns the tensors are.

    Raises:
        RequestError: tensors of different lengths, too many rows, or missing columns.
    """
    sizes = {tensor.name: len(tensor.data) for tensor in inputs}
    if len(sizes) < len(inputs):
        raise bad_input("two inputs have the same name; give each column once")
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"{name!r} {size}" for name, size in sizes.items())
        raise bad_input(f"the inputs have different numbers of rows: {listed}")
    (size,) = set(sizes.values())
    if not size:
        raise RequestError("Empty", "the inputs have no rows")
    if size > max_rows:
        raise too_large(f"{size} rows, but at most {max_rows} are answered at once")
    rows = [{tensor.name: tensor.data[row] for tensor in inputs} for row in range(size)]
    return frame_of(served, rows)


def _outputs(served: ServedModel, scored: ScoredRows) -> list[Tensor]:
    answers = served.predictor.answers(scored.scores)
    outputs = [_tensor_of(column) for column in answers.iter_columns()]
    if served.has_probabilities:
        table = served.pipeline.probabilities(scored.scores)
        flat = table.to_numpy().reshape(-1).tolist()
        outputs.append(Tensor("probabilities", [table.height, table.width], "FP64", flat))
    confidence = confidence_of(served, scored.scores)
    if confidence is not None:
        outputs.append(Tensor("confidence", [len(confidence)], "FP64", confidence))
    if scored.ids is not None:
        outputs.append(_tensor_of(scored.ids))
    return outputs


def _tensor_of(column: pl.Series) -> Tensor:
    datatype = DATATYPES.get(type(column.dtype), "BYTES")
    values = column.to_list()
    if datatype == "BYTES":
        values = ["" if value is None else str(value) for value in values]
    return Tensor(column.name, [len(values)], datatype, values)
