"""Engine, open_engine: who calls a function for many jobs, or sends many parts through a model that is loaded once."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from bert_playground.extras import require_extra
from bert_playground.logger import logger
from bert_playground.lookup import look_up
from bert_playground.signals import Stopped, working

Job = TypeVar("Job")
Part = TypeVar("Part")
Result = TypeVar("Result")
Load = Callable[[], Callable[[Part], Result]]


class Engine(Protocol):
    """Workers that do what they are sent; what is sent and what comes back is pickled.

    Attributes:
        num_workers: that work side by side.
        num_threads: that the libraries in each may use.
        is_in_process: whether there is none but this process, which then says what it does.
    """

    num_workers: int
    num_threads: int
    is_in_process: bool

    def run(
        self, function: Callable[[Job], Result], jobs: Iterator[Job]
    ) -> Generator[tuple[Job, Result], None, None]:
        """Each job with its result, as it ends; the next job is asked for when there is room for it.

        Close it where it may not be read to its end, or its workers are waited for.

        Args:
            function: of a module, as a worker has to find it. It leaves alone what an earlier call has finished.
            jobs: may end early, such as when the time is up.

        Raises:
            ValueError: a worker died, and so did the one that tried again.
        """

    def map(self, load: Load[Part, Result], parts: Sequence[Part]) -> Generator[Result, None, None]:
        """The result of each part, as it ends.

        Args:
            load: called once in each worker; gives what answers a part.
            parts: to answer.

        Raises:
            ValueError: as `run`.
        """


def do_job(function: Callable[[Job], Result], job: Job) -> Result:
    """The result of a job, in a worker; where that is told to end, it does so when the job has saved what there was to save."""
    try:
        with working():
            return function(job)
    except Stopped as stopped:
        # A second SIGTERM, which came meanwhile, would not be repeated, and the queue of jobs may be locked by a process
        # that has ended.
        os._exit(128 + stopped.signum)


@dataclass(frozen=True)
class EngineRequest:
    """Which engine, and what each of its workers gets.

    Attributes:
        name: a name in ENGINES.
        address: of a cluster of Ray; None: that of RAY_ADDRESS, else one of this machine for as long as it is needed.
        task_cpus: cores of each worker, and threads of the libraries in it.
        task_gpus: graphics processors of each worker, or a share of one.
        task_memory: gigabytes that a node must have for each worker; None: nothing is reserved.
    """

    name: str = "local"
    address: str | None = None
    task_cpus: int = 1
    task_gpus: float = 0.0
    task_memory: float | None = None


def require_engine(asked: EngineRequest, what: str) -> None:
    """Refuse to begin what needs an engine that is not there.

    Args:
        asked: which; its name is one in ENGINES.
        what: needs it, such as "bert train --engine ray".

    Raises:
        ValueError: there is no such engine, its extra is not installed, or nobody listens at its address.
    """
    look_up(ENGINES, asked.name, "engine")
    if asked.name == "ray":
        from bert_playground.engines.ray_session import require_cluster

        require_extra("ray", what, "or use --jobs N: processes of this machine")
        require_cluster(asked)
    elif asked.address is not None:
        raise ValueError(
            f"--ray-address {asked.address} names a cluster of Ray; add --engine ray, or leave it out"
        )


@contextmanager
def open_engine(
    asked: EngineRequest, num_workers: int | None, shared: Path | None = None
) -> Iterator[Engine]:
    """The engine, for as long as the block runs.

    Args:
        asked: which, and what each worker gets.
        num_workers: None: one process of this machine; as many as a cluster has room for.
        shared: a file that all workers must find where it is: a cluster needs storage that all its nodes see.

    Raises:
        ValueError: it is not installed, cannot be reached, or has no room for a worker.
    """
    require_engine(asked, f"--engine {asked.name}")
    with ENGINES[asked.name](asked, num_workers, shared) as engine:
        yield engine


@contextmanager
def _open_local(
    asked: EngineRequest, num_workers: int | None, shared: Path | None
) -> Iterator[Engine]:
    from bert_playground.engines.local_processes import LocalProcesses

    if asked != EngineRequest(asked.name):
        logger.warning(
            "no effect: task_cpus, task_gpus and task_memory are of --engine ray; processes of this machine share its cores"
        )
    yield LocalProcesses(num_workers or 1)


@contextmanager
def _open_ray(
    asked: EngineRequest, num_workers: int | None, shared: Path | None
) -> Iterator[Engine]:
    from bert_playground.engines.ray_session import ray_session, set_variables

    set_variables(asked)
    from bert_playground.engines.ray_workers import RayWorkers

    with ray_session(asked, num_workers) as num_found:
        yield RayWorkers(asked, num_found, shared)


ENGINES = {"local": _open_local, "ray": _open_ray}
