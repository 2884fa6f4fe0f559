"""/predict/rows and /schema: table rows as JSON or CSV, answered by the pipeline that the model was trained with."""

import json
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bert_playground.data.kaggle.submission import spell_booleans
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import is_large
from bert_playground.data.schema.sampling import read_frames
from bert_playground.predict_table import require_classes
from bert_playground.serving.engine import Engine, ScoredRows, frame_of
from bert_playground.serving.influence import blank_each, measure_influence
from bert_playground.serving.json_rows import RowRequest, parse_row_request
from bert_playground.serving.request_error import RequestError, bad_input, hide_paths, too_large
from bert_playground.serving.row_schemas import ROWS_RESPONSES, describe_rows
from bert_playground.serving.security import is_csv_request, over_limit
from bert_playground.serving.served_model import ServedModel, confidence_of, to_records

MAX_EXPLAINED = 32  # rows of one request: each costs a row more for each column
BODY = "the body"
MAX_SAID = 10  # differences from training that a header names


def create_row_routes(engine: Engine) -> APIRouter:
    """The routes for rows."""
    router = APIRouter(tags=["rows"])
    # Of several models each may read other columns; the document then names none.
    models = list(engine.models.values())
    body = describe_rows(models[0].describe_columns() if len(models) == 1 else ())

    @router.get("/schema")
    async def describe_schema(model: str | None = None) -> JSONResponse:
        """The columns of a row, with values that are typical of the training table; what is answered."""
        return JSONResponse(describe(engine, engine.find(model)))

    @router.post("/predict/rows", openapi_extra=body, responses=ROWS_RESPONSES)
    async def predict_rows(
        request: Request, model: str | None = None, probabilities: bool = False
    ) -> Response:
        """Answer rows: JSON records, or a CSV with a header, which comes back as the submission of `bert predict`.

        `model` and `probabilities` in the address are for CSV; JSON has `model` in its body, and always the probabilities.
        """
        if is_csv_request(request.scope):
            return await _answer_csv(engine, engine.find(model), request, probabilities)
        asked = parse_row_request(await request.body(), engine.settings.max_rows)
        served = engine.find(asked.model or model)
        answer = await engine.in_time(_answer_json(engine, served, asked, request))
        return JSONResponse(answer)

    return router


def describe(engine: Engine, served: ServedModel) -> dict[str, Any]:
    """What a client, or the page, needs to know to ask."""
    pipeline = served.pipeline
    return {
        "model": served.name,
        "models": list(engine.models),
        "task": served.task,
        "target": list(pipeline.targets),
        "id_column": pipeline.id_column,
        "classes": [str(name) for name in pipeline.classes],
        "columns": served.describe_columns(),
        "has_windows": pipeline.windows is not None,
        "reads_text": bool(served.max_length),
        "max_length": served.max_length,
    }


async def _answer_json(
    engine: Engine, served: ServedModel, asked: RowRequest, request: Request
) -> dict[str, Any]:
    frame = await engine.in_thread(frame_of, served, asked.rows)
    scored = await engine.score_rows(served, frame, with_drift=asked.drift)
    influence = await _explain(engine, served, frame) if asked.explain else None
    request.state.stages.update(scored.stages)
    request.state.facts["rows"] = frame.height
    return await engine.in_thread(_write, served, scored, influence, asked.drift)


async def _explain(
    engine: Engine, served: ServedModel, frame: pl.DataFrame
) -> list[list[dict[str, Any]]]:
    if served.pipeline.windows is not None:
        raise bad_input("explain is for rows that stand alone, and this model reads series of rows")
    if frame.height > MAX_EXPLAINED:
        raise too_large(
            f"{frame.height} rows, but at most {MAX_EXPLAINED} are explained at once; ask again without explain, or for fewer"
        )
    columns = served.needed
    variants = blank_each(frame.select(columns), columns)
    scored = await engine.score_rows(served, variants, with_drift=False)

    def measure() -> list[list[dict[str, Any]]]:
        return measure_influence(
            served.pipeline,
            scored.scores,
            columns,
            lambda scores: served.predictor.answers(scores)[:, 0].to_list(),
        )

    return await engine.in_thread(measure)


def _write(
    served: ServedModel,
    scored: ScoredRows,
    influence: list[list[dict[str, Any]]] | None,
    with_drift: bool,
) -> dict[str, Any]:
    """The answer as JSON."""
    scores, pipeline = scored.scores, served.pipeline
    records = to_records(served.predictor.answers(scores))
    answers: list[dict[str, Any]] = [{"answer": record} for record in records]
    if served.has_probabilities:
        for answer, row in zip(answers, to_records(pipeline.probabilities(scores)), strict=True):
            answer["probabilities"] = row
    for answer, value in zip(answers, confidence_of(served, scores), strict=True):
        if value is not None:
            answer["confidence"] = value
    if influence is not None:
        for answer, ranked in zip(answers, influence, strict=True):
            answer["columns"] = ranked
    names = range(len(answers)) if scored.ids is None else scored.ids.to_list()
    answers = [{"id": name, **answer} for name, answer in zip(names, answers, strict=True)]
    document: dict[str, Any] = {"model": served.name, "answers": answers}
    document["ignored_columns"] = scored.ignored
    if with_drift:
        document["drift"] = [
            {**finding.to_dict(), "message": finding.say()} for finding in scored.findings
        ]
    return document


async def _answer_csv(
    engine: Engine, served: ServedModel, request: Request, probabilities: bool
) -> Response:
    """The submission, streamed slice by slice; faults of the table are found before the first one is sent."""
    folder = tempfile.TemporaryDirectory(prefix="bert-serve-")
    path = Path(folder.name) / "rows.csv"
    try:
        await _spool(request, path, engine.settings.csv_limit)
        facts: dict[str, Any] = request.state.facts
        parts = _iterate(engine, served, path, probabilities, facts)
        first = await engine.in_time(engine.in_thread(next, parts, b""))
    except BaseException:
        folder.cleanup()
        raise
    said = facts.pop("said", None)
    headers = {} if said is None else {"x-drift": json.dumps(said)}

    def stream() -> Iterator[bytes]:
        try:
            yield from chain([first], parts)
        finally:
            folder.cleanup()

    return StreamingResponse(stream(), media_type="text/csv; charset=utf-8", headers=headers)


async def _spool(request: Request, path: Path, limit: int) -> None:
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise over_limit(limit)
            file.write(chunk)
    if not size:
        raise RequestError("Empty", "the body is empty; expected a CSV with a header line and rows")


def _iterate(
    engine: Engine, served: ServedModel, path: Path, probabilities: bool, facts: dict[str, Any]
) -> Iterator[bytes]:
    """The lines of the submission; `facts` gets rows and drift for the log."""
    pipeline, drift = served.pipeline, served.pipeline.watch_drift()
    rows = 0
    try:
        if probabilities:
            require_classes(pipeline)
        frames = read_frames(path) if pipeline.windows is None else iter([read_table(path)])
        for part in engine.iterate_answers(served, frames, drift, probabilities=probabilities):
            if not rows and not is_large(
                path
            ):  # then all rows were read before the first was answered
                facts["said"] = [finding.say() for finding in drift.findings()[:MAX_SAID]]
            content = spell_booleans(part).write_csv(include_header=not rows)
            rows += part.height
            yield content.encode()
    except (ValueError, OSError) as error:
        raise bad_input(hide_paths(str(error).replace(str(path), BODY))) from error
    findings = drift.findings()
    engine.metrics.observe_drift(served.name, findings)
    facts |= {"rows": rows, "drift": len(findings)}
