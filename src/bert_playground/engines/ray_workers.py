"""RayWorkers: fits as tasks of Ray, predictions as actors of Ray Data; both are tried once more where a worker died."""

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import ray
import ray.exceptions

from bert_playground.engines.engine import EngineRequest, Job, Load, Part, Result, do_job
from bert_playground.engines.ray_session import needed_resources
from bert_playground.logger import logger
from bert_playground.lookup import count_of

WATCH_SECONDS = 0.5
SAVE_SECONDS = 60.0  # in which a fit that is stopped saves where it is
RETRIES = 1
DEATHS = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
)
# Libraries ask for their threads by these names, and would take all cores of a node.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class Origin:
    """What a worker must have in common with the program that asks.

    Attributes:
        folder: that both work in, as paths may be relative to it.
        shared: a file that both must find; None: none.
        content: of the file.
        package: the version of this package.
    """

    folder: Path
    shared: Path | None
    content: bytes
    package: str | None

    @classmethod
    def of(cls, shared: Path | None) -> "Origin":
        """Of this program."""
        path = None if shared is None else shared.resolve()
        return cls(Path.cwd(), path, b"" if path is None else path.read_bytes(), _find_version())

    def require(self) -> None:
        """Refuse to work where a result would be lost, or another one.

        Raises:
            ValueError: the node has another version of the package, or does not see the folder.
        """
        node = ray.util.get_node_ip_address()
        if _find_version() != self.package:
            raise ValueError(
                f"node {node} has bert-playground {_find_version()}, expected {self.package}; install the same on all nodes"
            )
        with suppress(OSError):
            os.chdir(self.folder)
            if self.shared is None or self.shared.read_bytes() == self.content:
                return
        missing = self.folder if self.shared is None else self.shared.parent
        raise ValueError(
            f"node {node} does not see {missing}; all nodes of the cluster need to see the folder that the program runs in, and "
            "that of its results, under the same paths: start it on storage that they share"
        )


class RayWorkers:
    """An engine of tasks and actors on the cluster that this program is connected to; see `Engine`."""

    def __init__(self, asked: EngineRequest, num_workers: int, shared: Path | None) -> None:
        """Of so many at a time."""
        self.num_workers = num_workers
        self.num_threads = asked.task_cpus
        self.is_in_process = False
        self._options = _make_options(asked)
        self._origin = Origin.of(shared)

    def run(
        self, function: Callable[[Job], Result], jobs: Iterator[Job]
    ) -> Generator[tuple[Job, Result], None, None]:
        """See `Engine.run`."""
        task = ray.remote(_call).options(
            **self._options, max_retries=RETRIES, retry_exceptions=False, name=function.__name__
        )
        running: dict[Any, Job] = {}
        try:
            while True:
                while len(running) < self.num_workers and (job := next(jobs, None)) is not None:
                    running[task.remote(function, job, self._origin)] = job
                if not running:
                    return
                # Not for ever at once: a Ctrl-C that another thread of this process gets does not wake this one.
                ended, _ = ray.wait(list(running), timeout=WATCH_SECONDS)
                for each in ended:
                    yield running.pop(each), _receive(each)
        except BaseException:  # also that of who reads the results, which closes this generator
            _stop(list(running))
            raise

    def map(self, load: Load[Part, Result], parts: Sequence[Part]) -> Generator[Result, None, None]:
        """See `Engine.map`; each actor of Ray Data loads once."""
        missing, deaths = dict(enumerate(parts)), 0
        while missing:
            before = len(missing)
            try:
                for place, result in self._answer(load, missing):
                    del missing[place]
                    yield result
            except DEATHS as error:
                deaths = 1 if len(missing) < before else deaths + 1
                if deaths > RETRIES:
                    _explain(error)
                logger.warning(
                    f"a worker of Ray died ({_first_line(error)}); {count_of(len(missing), 'part')} are sent once more"
                )
            except ray.exceptions.RayError as error:
                _explain(error)

    def _answer(
        self, load: Load[Part, Result], parts: Mapping[int, Part]
    ) -> Iterator[tuple[int, Result]]:
        """Place and result of each part; ends by an error of Ray where an actor dies."""
        from ray import data

        _quieten(data)
        rows = [{"part": pickle.dumps(each)} for each in parts.items()]
        with warnings.catch_warnings():
            # Ray 2.60 has no other way to say that an actor is tried once, not for ever.
            warnings.simplefilter("ignore", DeprecationWarning)
            answered = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                LoadedOnce,
                fn_constructor_args=(load, self._origin),
                batch_size=1,
                compute=data.ActorPoolStrategy(size=min(self.num_workers, len(rows))),
                max_restarts=0,
                max_task_retries=0,
                **self._options,
            )
        for row in answered.iter_rows():
            yield pickle.loads(row["result"])


class LoadedOnce:
    """An actor that answers parts by what it loaded when it began."""

    def __init__(self, load: Load[Any, Any], origin: Origin) -> None:
        """Load."""
        _set_up(origin)
        self.answer = load()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer some parts."""
        parts = [pickle.loads(each) for each in batch["part"].tolist()]
        return {"result": [pickle.dumps((place, self.answer(part))) for place, part in parts]}


def _call(function: Callable[[Job], Result], job: Job, origin: Origin) -> Result:
    """What a task does."""
    _set_up(origin)
    return do_job(function, job)  # a node that is told to end saves, and another one goes on


def _set_up(origin: Origin) -> None:
    from bert_playground.logs import set_up_logs

    set_up_logs("WARNING")
    origin.require()


def _make_options(asked: EngineRequest) -> dict[str, Any]:
    """Resources and threads of a worker."""
    need = needed_resources(asked)
    threads = dict.fromkeys(THREADS, str(asked.task_cpus))
    options: dict[str, Any] = {"num_cpus": need["CPU"], "runtime_env": {"env_vars": threads}}
    if "GPU" in need:
        options["num_gpus"] = need["GPU"]
    if "memory" in need:
        options["memory"] = int(need["memory"])
    return options


def _receive(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    """Raise what the function raised, else say that workers died.

    Raises:
        ValueError: the worker died, and so did the one that tried again.
    """
    cause: BaseException = error
    while isinstance(cause, ray.exceptions.RayError) or _is_wrapper(cause):
        inner = getattr(cause, "cause", None) or cause.__cause__
        if inner is None or inner is cause or type(inner).__name__ == "SystemException":
            break  # Ray Data puts an empty one of these behind whatever is no error of the function's
        cause = inner
    if not isinstance(cause, ray.exceptions.RayError):
        raise cause from None
    raise ValueError(
        f"a worker of Ray died, and so did the one that tried again: {_first_line(error)}; where memory was short, ask for fewer with --jobs, "
        "or reserve it by --set engine.task_memory=GIGABYTES. What is complete is kept"
    ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _is_wrapper(error: BaseException) -> bool:
    """Ray Data has an error of its own around what its actors raised."""
    return type(error).__name__ == "UserCodeException"


def _stop(running: Sequence[Any]) -> None:
    """Let them save where they are, and end; Ctrl-C meanwhile ends them at once."""
    if not running:
        return
    logger.info(f"{count_of(len(running), 'task')} of Ray saves where it is, and ends")
    try:
        for each in running:
            ray.cancel(each)
        ray.wait(list(running), num_returns=len(running), timeout=SAVE_SECONDS)
    except KeyboardInterrupt:
        for each in running:
            ray.cancel(each, force=True)
        raise


def _quieten(data: Any) -> None:
    """Ray Data draws bars and logs each stage."""
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised too


def _find_version() -> str | None:
    try:
        return version("bert-playground")
    except PackageNotFoundError:
        return None
