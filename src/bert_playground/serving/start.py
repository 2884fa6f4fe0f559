"""start_server: a checkpoint, or a folder of adapters, behind a port, until somebody ends it."""

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from socket import socket

from bert_playground.ensemble_predictor import load_predictor
from bert_playground.logger import logger
from bert_playground.serving.access_log import write_line
from bert_playground.serving.adapters import AdapterSet
from bert_playground.serving.app import create_app
from bert_playground.serving.engine import Engine
from bert_playground.serving.run import open_socket, run_server
from bert_playground.serving.security import API_KEY_VARIABLE, is_loopback, read_api_key
from bert_playground.serving.settings import ServeSettings

SWITCH_SECONDS = 0.0005
GARBAGE_OBJECTS = 20_000  # new ones, after which cycles are looked for: a request with rows makes hundreds, without cycles


def start_server(
    checkpoint: Path | None,
    settings: ServeSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    name: str | None = None,
    adapters_dir: Path | None = None,
    precision: str = "auto",
    api_key_file: Path | None = None,
    with_access_log: bool = True,
    announce: Callable[[Sequence[str]], None] = print,
) -> None:
    """Listen, load, answer, and drain at the end.

    Args:
        checkpoint: what answers; None: the adapters do.
        settings: limits; the name in them is replaced.
        host: to listen on.
        port: 0: any free one.
        name: of the model for clients; None: that of its run or folder.
        adapters_dir: a folder of adapters of one base.
        precision: see `Predictor.load`.
        api_key_file: with the key that clients need; None: the environment may have one.
        with_access_log: whether each request is a line on stderr.
        announce: gets the lines that say where the server is.

    Raises:
        FileNotFoundError: no checkpoint, key file or adapter.
        ValueError: a port that is taken, a key that is none, or a model that cannot be served.
    """
    api_key = read_api_key(api_key_file)
    warn_of_strangers(host, api_key)
    listening = open_socket(host, port)
    settings = replace(settings, name=name or _name_of(checkpoint or adapters_dir or Path("model")))
    engine = Engine(settings)
    try:
        if adapters_dir is not None:
            load_adapters(engine, adapters_dir, precision)
        elif checkpoint is not None:
            engine.load(settings.name, lambda: load_predictor(checkpoint, precision=precision))
    except BaseException:
        listening.close()
        engine.stop()
        raise
    # The thread that owns MLX asks for the interpreter after every batch; Python's own 5 ms would be a batch's time.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GARBAGE_OBJECTS)
    gc.freeze()  # what was loaded stays; it need not be looked at again
    app = create_app(
        engine,
        api_key=api_key,
        adapters_dir=adapters_dir,
        write_log=write_line if with_access_log else None,
    )
    announce(_describe(engine, listening, host, is_guarded=api_key is not None))
    run_server(app, listening)


def load_adapters(engine: Engine, folder: Path, precision: str) -> None:
    """Serve every adapter in a folder, by the names of their own folders.

    Raises:
        FileNotFoundError: there is no such folder, or it has none inside.
        ValueError: one of them is no adapter, or they stand on different bases.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; --adapters names one that holds adapters")
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    if not found:
        raise FileNotFoundError(
            f"{folder} has no folders; put the runs of `bert train --lora` into it, each under the name of its model"
        )

    def read() -> AdapterSet:
        first, *others = found
        adapters, served = AdapterSet.load(first.name, first, precision)
        models = [served, *(adapters.add(path.name, path) for path in others)]
        for model in models:
            engine.add(model)
        return adapters

    engine.adapters = engine.scheduler.call(read).result()


def warn_of_strangers(host: str, api_key: str | None) -> None:
    """Say so where other machines can ask without a key."""
    if not is_loopback(host) and api_key is None:
        logger.warning(
            f"other machines can reach {host}, and no API key is asked of them: set {API_KEY_VARIABLE} or --api-key-file, or "
            "leave out --host"
        )


def _name_of(folder: Path) -> str:
    """The name of the run that a checkpoint belongs to, else of its folder."""
    parts = folder.resolve().parts
    return parts[-3] if "checkpoints" in parts[-2:-1] else parts[-1]


def _describe(engine: Engine, listening: socket, host: str, *, is_guarded: bool) -> list[str]:
    port = listening.getsockname()[1]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    first = next(iter(engine.models.values()))
    lines = [
        f"serving {', '.join(engine.models)}: {first.task}, target {first.pipeline.target}",
        f"page     {address}/",
        f"rows     {address}/predict/rows",
        f"routes   {address}/docs",
    ]
    if is_guarded:
        lines.append("an API key is asked of clients: Authorization: Bearer KEY")
    return lines
