"""/v1/load_lora_adapter and /v1/unload_lora_adapter, in the shape of vLLM; only behind an API key."""

import re
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse

from bert_playground.lookup import nearest, shorten
from bert_playground.serving.engine import Engine
from bert_playground.serving.request_error import RequestError, bad_input, hide_paths, not_supported
from bert_playground.serving.row_schemas import ERROR_RESPONSES
from bert_playground.serving.served_model import ServedModel

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
ADMIN_PATHS = (LOAD, UNLOAD)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class LoadRequest(BaseModel):
    """Which adapter to load.

    Attributes:
        lora_name: for clients.
        lora_path: the name of a folder in that of --adapters; None: the same as `lora_name`.
    """

    lora_name: str
    lora_path: str | None = None


class UnloadRequest(BaseModel):
    """Which adapter to forget."""

    lora_name: str


def create_adapter_routes(
    engine: Engine, adapters_dir: Path | None, *, is_guarded: bool
) -> APIRouter:
    """The routes.

    Args:
        engine: with the adapters that were loaded at the start.
        adapters_dir: the only place that adapters are read from.
        is_guarded: whether clients need a key; else nothing is loaded.
    """
    router = APIRouter(tags=["adapters"], responses=ERROR_RESPONSES)

    def require_allowed() -> None:
        if not is_guarded:
            raise RequestError(
                "Unauthorized",
                "adapters are loaded and unloaded behind an API key only; start the server with one",
                status=403,
            )
        if engine.adapters is None:
            raise not_supported("this server was started without --adapters")

    @router.post(LOAD)
    async def load(asked: LoadRequest) -> JSONResponse:
        """Load an adapter, with its head, beside those of the same base."""
        require_allowed()
        if not NAME.fullmatch(asked.lora_name):
            raise bad_input("lora_name has letters, digits, points, dashes and underscores alone")
        if asked.lora_name in engine.models:
            raise bad_input(f"there is a model {asked.lora_name!r} already; unload it first")
        folder = find_folder(adapters_dir, asked.lora_path or asked.lora_name)
        await engine.in_time(engine.in_thread(_load, engine, asked.lora_name, folder))
        return JSONResponse({"loaded": asked.lora_name, "models": list(engine.models)})

    @router.post(UNLOAD)
    async def unload(asked: UnloadRequest) -> JSONResponse:
        """Forget an adapter."""
        require_allowed()
        engine.find(asked.lora_name)
        await engine.in_time(engine.in_thread(_unload, engine, asked.lora_name))
        return JSONResponse({"unloaded": asked.lora_name, "models": list(engine.models)})

    return router


def find_folder(adapters_dir: Path | None, name: str) -> Path:
    """The folder of an adapter by its name: nothing outside of that of all adapters.

    Raises:
        RequestError: there is no such folder.
    """
    known = sorted(path.name for path in adapters_dir.iterdir()) if adapters_dir else []
    if adapters_dir is None or name not in known or not (adapters_dir / name).is_dir():
        hint = nearest(name, known)
        raise RequestError(
            "NotFound",
            f"no adapter {name!a} in the folder of adapters{hint} (there are: {shorten(known)})",
        )
    return adapters_dir / name


def _load(engine: Engine, name: str, folder: Path) -> None:
    adapters = engine.adapters
    assert adapters is not None

    def read() -> ServedModel:
        return adapters.add(name, folder)

    try:
        engine.add(engine.scheduler.call(read).result())
    except (ValueError, OSError) as error:
        raise bad_input(hide_paths(str(error), folder.parent)) from error


def _unload(engine: Engine, name: str) -> None:
    adapters = engine.adapters
    assert adapters is not None
    served = engine.models.pop(name)
    try:
        engine.scheduler.call(lambda: adapters.remove(name)).result()
    except ValueError as error:
        engine.models[name] = served
        raise bad_input(str(error)) from error
