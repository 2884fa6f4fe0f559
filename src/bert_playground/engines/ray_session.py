"""ray_session: a connection to a cluster of Ray, or one of this machine for as long as the block runs."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

from bert_playground.engines.engine import EngineRequest
from bert_playground.environment import count_cores
from bert_playground.logger import logger
from bert_playground.lookup import count_of

# Before Ray is imported. A user's own value counts.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else `uv run` copies the folder to all nodes, and starts uv on each
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a task without a graphics processor keeps the variables that it has
    "RAY_task_oom_retries": "1",  # not for ever, as it is where memory is short
    "RAY_worker_niceness": "0",  # of a cluster of this machine: 15, as it is, leaves next to nothing beside other work
    "RAY_NUM_REDIS_GET_RETRIES": "2",  # of connecting, 40 s each where nobody answers: Ray's 20 are a quarter of an hour
}
CONNECT_SECONDS = 10.0
PROBE = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).cluster_id"
PROBE_SECONDS = 60.0
GIGABYTE = 2**30


def set_variables(asked: EngineRequest) -> None:
    """What Ray reads while it is imported: call it before, or `uv run` starts workers that end at once."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" in os.environ or not (
        "RAY_AUTH_TOKEN" in os.environ or _token_path().is_file()
    ):
        return
    # `ray start` asks for the token where there is one, and a program that joins has to be told to send it. Other clusters
    # ask for none, and their answers would be refused by a program that does.
    address, _ = find_address(asked)
    if address == "local" or _asks_for_token(address):
        os.environ["RAY_AUTH_MODE"] = "token"


def _asks_for_token(address: str) -> bool:
    """Whether a cluster turns away who sends none; asked in another process, as Ray decides once whether it sends one."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, address],
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def _token_path() -> Path:
    chosen = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(chosen) if chosen else Path.home() / ".ray" / "auth_token"


def find_address(asked: EngineRequest) -> tuple[str, str]:
    """The cluster's address, and who says so; "local": one of this machine."""
    if asked.address:
        return asked.address, f"--ray-address {asked.address}"
    if named := os.environ.get("RAY_ADDRESS"):
        return named, f"RAY_ADDRESS={named}"
    return "local", ""


def require_cluster(asked: EngineRequest) -> None:
    """Ask at once whether somebody listens, as Ray itself would try for minutes.

    Raises:
        ValueError: nobody does.
    """
    address, said = find_address(asked)
    host, _, port = address.rpartition(":")
    if not (port.isdigit() and int(port) < 2**16) or "/" in address:
        return  # "local", "auto", or a form that Ray judges
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise ValueError(_explain_address(said, error.strerror or str(error))) from error


def _explain_address(said: str, reason: str) -> str:
    return (
        f"{said}: no cluster of Ray is there ({reason}); expected such as 10.0.0.1:6379, which `ray start --head` says, or "
        "leave it out for a cluster of this machine"
    )


@contextmanager
def ray_session(asked: EngineRequest, num_workers: int | None) -> Iterator[int]:
    """Be connected to the cluster while the block runs; gives the number of workers.

    A connection that is there already is used, and left as it is.

    Args:
        asked: the cluster's address, and what each worker needs.
        num_workers: that are wanted; None: as many as there is room for now.

    Raises:
        ValueError: it cannot be reached, or no node has room for a worker.
    """
    import ray

    is_ours = not ray.is_initialized()
    if is_ours:
        with _own_signal_handlers(), _quiet_start():
            _connect(asked, num_workers)
    # Ray's threads say, also at the end, that a node is gone.
    with redirect_stdout(sys.stderr):
        try:
            yield _count_workers(asked, num_workers)
        finally:
            if is_ours:
                ray.shutdown()


def _connect(asked: EngineRequest, num_workers: int | None) -> None:
    import ray

    address, said = find_address(asked)
    # Ray would print what workers and nodes say, into stdout too, where --json puts one document.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        # Fits that share the cores are what --jobs asks for, on a cluster of this machine too.
        options["num_cpus"] = max(count_cores(), asked.task_cpus * (num_workers or 1))
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    # Ray has errors of its own for each way in which a cluster is not there.
    except Exception as error:
        ray.shutdown()
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        if address == "local":
            raise ValueError(
                f"a cluster of Ray on this machine did not start: {first} Where the machine is busy, start one beforehand with "
                "Ray's own command and name it by --ray-address, or use --jobs N in place of --engine ray"
            ) from error
        raise ValueError(_explain_address(said, first)) from error


def _count_workers(asked: EngineRequest, num_workers: int | None) -> int:
    """Those that are wanted, else as many as there is room for.

    Raises:
        ValueError: there is room for none.
    """
    import ray

    need = needed_resources(asked)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(_fit_into(node, need) for node in nodes)
    if room == 0:
        largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in need}
        listed = ", ".join(f"{amount:g} {name}" for name, amount in need.items())
        there = ", ".join(f"{amount:g} {name}" for name, amount in largest.items())
        raise ValueError(
            f"no node of the cluster has room for one worker: each needs {listed}, and the largest of "
            f"{count_of(len(nodes), 'node')} has {there}; ask for less by --task-cpus N, engine.task_gpus or engine.task_memory"
        )
    chosen = num_workers or room
    logger.info(
        f"Ray: {count_of(chosen, 'worker')} of {asked.task_cpus} CPU each, on {count_of(len(nodes), 'node')} with room for {room}"
    )
    return chosen


def needed_resources(asked: EngineRequest) -> dict[str, float]:
    """What Ray reserves for each worker, by its names."""
    need = {"CPU": float(asked.task_cpus)}
    if asked.task_gpus:
        need["GPU"] = asked.task_gpus
    if asked.task_memory is not None:
        need["memory"] = asked.task_memory * GIGABYTE
    return need


def _fit_into(node: Mapping[str, float], need: Mapping[str, float]) -> int:
    return min(int(node.get(name, 0.0) / amount) for name, amount in need.items())


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and would end the program without saving."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {
        each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)
    }
    early: list[int] = []

    def remember(signum: int, frame: FrameType | None) -> None:
        early.append(signum)

    for each in handlers:
        signal.signal(each, remember)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for signum in early[:1]:
            signal.raise_signal(signum)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Ray says where it keeps its token and its pages; the guide says so too."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray._private.authentication")]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
