"""create_app: routes, page, errors and middleware around an Engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, JSONResponse, Response

from bert_playground.logger import logger
from bert_playground.serving.access_log import AccessLog, write_line
from bert_playground.serving.adapter_routes import ADMIN_PATHS, create_adapter_routes
from bert_playground.serving.direct_routes import DirectRoutes, Handler
from bert_playground.serving.engine import Engine
from bert_playground.serving.kserve import create_kserve_routes
from bert_playground.serving.openai import create_openai_routes
from bert_playground.serving.request_error import RequestError
from bert_playground.serving.row_routes import create_row_routes, create_rows_handler
from bert_playground.serving.security import Admission, ApiKey, BodyLimit
from bert_playground.serving.tei import create_predict_handler, create_tei_routes

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {"page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}
# The page loads nothing from elsewhere, and nobody may frame it.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def create_app(
    engine: Engine,
    *,
    api_key: str | None = None,
    adapters_dir: Path | None = None,
    write_log: Callable[[dict[str, Any]], None] | None = write_line,
) -> FastAPI:
    """The ASGI application.

    Args:
        engine: with its models; it is warmed up when the application starts, and stopped when it ends.
        api_key: that clients need; None: none.
        adapters_dir: where adapters may be loaded from while it runs; None: from nowhere.
        write_log: gets a record for each request; None: nobody does.
    """
    # FastAPI's own /docs loads its viewer from the internet.
    app = FastAPIOffline(
        redoc_url=None,
        favicon_url="icon.svg",
        title="bert-playground",
        version=version("bert-playground"),
        description=(
            "A checkpoint answers table rows by the pipeline that it was trained with, and texts in the shapes of "
            "text-embeddings-inference, OpenAI and KServe v2."
        ),
        lifespan=_create_lifespan(engine),
        middleware=_create_middleware(engine, api_key, write_log),
        # The middleware asks for the key; this gives /docs a field for it.
        dependencies=[] if api_key is None else [Depends(HTTPBearer(auto_error=False))],
    )
    app.state.engine = engine
    app.include_router(create_row_routes(engine))
    app.include_router(create_tei_routes(engine))
    app.include_router(create_openai_routes(engine))
    app.include_router(create_kserve_routes(engine))
    app.include_router(create_adapter_routes(engine, adapters_dir, is_guarded=api_key is not None))
    _add_page(app)
    _add_errors(app)
    return app


def _create_middleware(
    engine: Engine, api_key: str | None, write_log: Callable[[dict[str, Any]], None] | None
) -> list[Middleware]:
    """What every request passes, the outermost first."""
    settings = engine.settings
    middleware = [Middleware(AccessLog, metrics=engine.metrics, write=write_log)]
    if settings.cors_allow_origin:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_allow_origin),
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-request-id"],
            )
        )
    middleware += [
        Middleware(ApiKey, key=api_key),
        Middleware(BodyLimit, limit=settings.payload_limit, csv_limit=settings.csv_limit),
        Middleware(
            Admission,
            most=settings.max_concurrent_requests,
            estimate=engine.estimate_wait,
            on_change=engine.metrics.concurrent_requests.set,
            free=ADMIN_PATHS,
        ),
        Middleware(DirectRoutes, handlers=_create_handlers(engine)),
    ]
    return middleware


def _create_handlers(engine: Engine) -> dict[str, Handler]:
    predict = create_predict_handler(engine)
    return {"/predict/rows": create_rows_handler(engine), "/predict": predict, "/": predict}


def _create_lifespan(engine: Engine) -> Any:
    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm_up(engine))
        yield
        await warming
        await asyncio.to_thread(engine.stop)

    return live


async def _warm_up(engine: Engine) -> None:
    try:
        await engine.in_thread(engine.warm_up)
    except Exception:
        logger.exception("the model fails on a typical row, so that it will never be ready")


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return FileResponse(PAGE / "index.html", headers=PAGE_HEADERS)

    def serve(name: str, kind: str) -> None:
        @app.get(f"/{name}", include_in_schema=False)
        async def show_file() -> Response:
            return FileResponse(PAGE / name, media_type=kind, headers=PAGE_HEADERS)

    for name, kind in PAGE_FILES.items():
        serve(name, kind)


def _add_errors(app: FastAPI) -> None:
    """Every error has the shape of text-embeddings-inference, and says nothing about this machine."""

    @app.exception_handler(RequestError)
    async def refuse(request: Request, error: RequestError) -> JSONResponse:
        return JSONResponse(error.to_dict(), error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        said = "; ".join(_say_fault(fault) for fault in error.errors()[:5])
        if "json" not in request.headers.get("content-type", "").lower():
            said += "; send JSON with the header Content-Type: application/json"
        refused = RequestError("Tokenizer", said)
        return JSONResponse(refused.to_dict(), refused.status_code)

    @app.exception_handler(HTTPException)
    async def refuse_http(request: Request, error: HTTPException) -> JSONResponse:
        kind = "NotFound" if error.status_code == 404 else "Validation"
        refused = RequestError(kind, str(error.detail), status=error.status_code)
        return JSONResponse(refused.to_dict(), error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def apologise(request: Request, error: Exception) -> JSONResponse:
        request_id = request.scope.get("state", {}).get("request_id")
        logger.opt(exception=error).error(f"request {request_id} failed")
        failed = RequestError(
            "Backend", f"the server failed; its log has request {request_id}", status=500
        )
        return JSONResponse(failed.to_dict(), 500)


def _say_fault(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "body")
    text = f"{place}: {fault['msg']}" if place else str(fault["msg"])
    return text.encode("ascii", "backslashreplace").decode()
