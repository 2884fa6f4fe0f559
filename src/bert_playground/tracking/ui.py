"""ui_command: what shows the page of a store in a browser, by whatever full MLflow there is; find_launcher: which."""

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from bert_playground.tracking.store import database_file, is_server

PYTHON_VARIABLE = "BERT_PLAYGROUND_MLFLOW"  # a Python with the full mlflow
NEEDED = "flask"  # which mlflow-skinny lacks


@dataclass(frozen=True)
class Launcher:
    """A way to run the full mlflow.

    Attributes:
        command: its first words.
        what: where it comes from.
    """

    command: tuple[str, ...]
    what: str


def find_launcher() -> Launcher:
    """The full mlflow that is named, installed here, installed elsewhere, or fetched by uvx or pipx.

    Raises:
        ValueError: there is none; says how to get it.
    """
    named = os.environ.get(PYTHON_VARIABLE)
    if named:
        if not _has_server(named):
            raise ValueError(
                f"{PYTHON_VARIABLE}={named} is no Python with the full mlflow; unset it, or: {named} -m pip install "
                f"mlflow=={mlflow_version()}"
            )
        return Launcher((named, "-m", "mlflow"), f"{PYTHON_VARIABLE}")
    if find_spec(NEEDED) is not None and find_spec("mlflow.server.handlers") is not None:
        return Launcher((sys.executable, "-m", "mlflow"), "installed here")
    wanted = f"mlflow=={mlflow_version()}"  # the tables of a database belong to a version
    script = shutil.which("mlflow")
    beside = None if script is None else Path(script).resolve().with_name("python")
    if beside is not None and beside.is_file() and _has_server(str(beside)):
        return Launcher((str(script),), str(script))
    if (uvx := shutil.which("uvx")) is not None:
        return Launcher((uvx, wanted), "uvx")
    if (pipx := shutil.which("pipx")) is not None:
        return Launcher((pipx, "run", wanted), "pipx")
    raise ValueError(
        "MLflow's page needs the full mlflow, and mlflow-skinny is installed without it; install one of them and try "
        f"again: pip install {wanted}, or pip install uv, which fetches it into an environment of its own"
    )


def ui_command(address: str, host: str, port: int) -> tuple[list[str], str]:
    """The command that serves the page of a store, and the page's address.

    Args:
        address: of the store; that of a server is the page already.
        host: to listen on.
        port: to listen on.

    Returns:
        The words of the command, [] for a server; and the address.

    Raises:
        FileNotFoundError: there is no such database.
        ValueError: nothing can serve it, or the port is taken.
    """
    if is_server(address):
        return [], address
    file = database_file(address)
    if file is not None and not file.is_file():
        raise FileNotFoundError(
            f"no MLflow store at {file}; train with --mlflow first, or name another with --store"
        )
    _require_free(host, port)
    words = [
        *find_launcher().command,
        "ui",
        "--backend-store-uri",
        address,
        "--host",
        host,
        "--port",
        str(port),
    ]
    return words, f"http://{host}:{port}"


def mlflow_version() -> str:
    """Of the package that writes the store."""
    for name in ("mlflow-skinny", "mlflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise ValueError("mlflow is not installed")


def _has_server(python: str) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", f"import {NEEDED}, mlflow"], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _require_free(host: str, port: int) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"{host}:{port} cannot be listened on ({error.strerror}); give another --port, such as --port {port + 1}"
            ) from error
