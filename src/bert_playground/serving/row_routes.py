"""/predict/rows and /schema: table rows as JSON or CSV, answered by the pipeline that the model was trained with."""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bert_playground.data.drift.finding import Finding
from bert_playground.data.kaggle.submission import spell_booleans
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import is_large
from bert_playground.data.schema.sampling import read_frames
from bert_playground.predict_table import require_classes
from bert_playground.serving.direct_routes import Handler
from bert_playground.serving.engine import Engine, frame_of
from bert_playground.serving.influence import blank_each, measure_influence
from bert_playground.serving.joint_rows import RowsAnswered, RowsAsked, answer_rows_jointly
from bert_playground.serving.json_rows import RowRequest, parse_row_request, read_cells
from bert_playground.serving.request_error import RequestError, bad_input, hide_paths, too_large
from bert_playground.serving.row_schemas import ROWS_RESPONSES, describe_rows
from bert_playground.serving.security import is_csv_request, over_limit
from bert_playground.serving.served_model import ServedModel, describe_answers

MAX_EXPLAINED = 32  # rows of one request: each costs a row more for each column
SMALL_ROWS, SMALL_BYTES = 128, 64 * 1024  # of a request that is joined with others
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
        state = request.scope["state"]
        return JSONResponse(await _answer_body(engine, await request.body(), model, state))

    return router


def create_rows_handler(engine: Engine) -> Handler:
    """/predict/rows for `DirectRoutes`."""

    async def answer(body: bytes, state: dict[str, Any]) -> Any:
        return await _answer_body(engine, body, None, state)

    return answer


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


async def _answer_body(
    engine: Engine, body: bytes, model: str | None, state: dict[str, Any]
) -> dict[str, Any]:
    if len(body) <= SMALL_BYTES:
        asked = parse_row_request(body, engine.settings.max_rows)
    else:
        asked = await engine.in_thread(parse_row_request, body, engine.settings.max_rows)
    served = engine.find(asked.model or model)
    state["facts"]["rows"] = len(asked.rows)
    is_small = len(asked.rows) <= SMALL_ROWS and len(body) <= SMALL_BYTES
    if is_small and not asked.explain and served.pipeline.windows is None:
        return await engine.in_time(_answer_small(engine, served, asked, state))
    return await engine.in_time(_answer_large(engine, served, asked, state))


async def _answer_small(
    engine: Engine, served: ServedModel, asked: RowRequest, state: dict[str, Any]
) -> dict[str, Any]:
    """Rows that stand alone, together with those of other requests."""
    began = time.perf_counter()
    cells = read_cells(asked.rows, served.needed)
    item = RowsAsked(cells, len(asked.rows), asked.drift, began)
    answer = partial(answer_rows_jointly, engine, served)
    answered: RowsAnswered = await engine.joiner.ask(id(served), answer, item, len(asked.rows))
    if asked.drift:
        engine.metrics.observe_drift(served.name, answered.findings)
    state["stages"].update(answered.stages)
    ids = cells.get(served.pipeline.id_column or "")
    findings = answered.findings if asked.drift else None
    return _write(served, answered.answers, ids, served.ignored(list(cells)), findings)


async def _answer_large(
    engine: Engine, served: ServedModel, asked: RowRequest, state: dict[str, Any]
) -> dict[str, Any]:
    frame = await engine.in_thread(frame_of, served, asked.rows)
    scored = await engine.score_rows(served, frame, with_drift=asked.drift)
    influence = await _explain(engine, served, frame) if asked.explain else None
    state["stages"].update(scored.stages)

    def write() -> dict[str, Any]:
        answers = describe_answers(served, scored.scores)
        if influence is not None:
            for answer, ranked in zip(answers, influence, strict=True):
                answer["columns"] = ranked
        ids = None if scored.ids is None else scored.ids.to_list()
        findings = scored.findings if asked.drift else None
        return _write(served, answers, ids, scored.ignored, findings)

    return await engine.in_thread(write)


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
    answers: Sequence[dict[str, Any]],
    ids: Sequence[Any] | None,
    ignored: list[str],
    findings: Sequence[Finding] | None,
) -> dict[str, Any]:
    """The answer as JSON; rows without ids are numbered."""
    names = range(len(answers)) if ids is None else ids
    document: dict[str, Any] = {
        "model": served.name,
        "answers": [{"id": name, **answer} for name, answer in zip(names, answers, strict=True)],
        "ignored_columns": ignored,
    }
    if findings is not None:
        document["drift"] = [
            {**finding.to_dict(), "message": finding.say()} for finding in findings
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
