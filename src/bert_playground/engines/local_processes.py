"""LocalProcesses: call a function for one job after another, in this process or in several of this machine."""

import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing.util import Finalize
from typing import Any

from bert_playground.engines.engine import Job, Load, Part, Result, do_job
from bert_playground.environment import count_cores
from bert_playground.signals import listen_as_worker, start_workers

WATCH_SECONDS = 0.5
LAST = -1000  # among what multiprocessing does at the end of a process
_kept: dict[int, "Processes"] = {}  # number of processes → those that run


class LocalProcesses:
    """An engine of processes of this machine; see `Engine`."""

    def __init__(self, num_workers: int) -> None:
        """So many; 1: all is done in this process."""
        self.num_workers = num_workers
        self.num_threads = threads_of_each(num_workers)
        self.is_in_process = num_workers == 1

    def run(
        self, function: Callable[[Job], Result], jobs: Iterator[Job]
    ) -> Generator[tuple[Job, Result], None, None]:
        """See `Engine.run`."""
        if not self.is_in_process:
            yield from _run_side_by_side(function, jobs, self.num_workers)
            return
        for job in jobs:
            yield job, function(job)

    def map(self, load: Load[Part, Result], parts: Sequence[Part]) -> Generator[Result, None, None]:
        """See `Engine.map`."""
        if self.is_in_process:
            answer = load()
            for part in parts:
                yield answer(part)
            return
        pickled = pickle.dumps(load)
        jobs = ((pickled, part) for part in parts)
        for _, result in _run_side_by_side(_answer_part, jobs, self.num_workers):
            yield result


def _answer_part(job: tuple[bytes, Part]) -> Any:
    pickled, part = job
    return _load(pickled)(part)


@lru_cache(maxsize=1)
def _load(pickled: bytes) -> Callable[[Any], Any]:
    """What a process has loaded for one part answers its others too."""
    load: Callable[[], Callable[[Any], Any]] = pickle.loads(pickled)
    return load()


def _run_side_by_side(
    function: Callable[[Job], Result], jobs: Iterator[Job], num_processes: int
) -> Iterator[tuple[Job, Result]]:
    running: dict[Future[Result], Job] = {}
    with processes(num_processes) as pool:
        try:
            while True:
                while len(running) < num_processes and (job := next(jobs, None)) is not None:
                    with start_workers():
                        running[pool.submit(do_job, function, job)] = job
                if not running:
                    return
                # Not for ever at once: a Ctrl-C that another thread of this process gets does not wake this one.
                ended = wait(running, timeout=WATCH_SECONDS, return_when=FIRST_COMPLETED).done
                for future in ended:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise ValueError(
                f"a process was killed, as the system does when memory is short; go on with fewer than {num_processes} --jobs"
            ) from error
        except BaseException:  # also that of who reads the results, which closes this generator
            pool.stop()
            raise


class Processes(ProcessPoolExecutor):
    """Processes that import the package once, and can be told to end."""

    def __init__(self, num_processes: int) -> None:
        """Make them; each begins by importing for seconds."""
        context = multiprocessing.get_context("spawn")  # MLX does not survive a fork
        super().__init__(
            num_processes, mp_context=context, initializer=_set_up, initargs=(os.getpid(),)
        )
        self._others = multiprocessing.active_children()

    def stop(self) -> None:
        """Let them save where they are, and end; Ctrl-C meanwhile ends them at once."""
        ours = [each for each in multiprocessing.active_children() if each not in self._others]
        try:
            for process in ours:
                process.terminate()
            self.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            for process in ours:
                process.kill()
            raise


@contextmanager
def processes(num_processes: int) -> Iterator[Processes]:
    """So many processes, which share the cores; several engines of so many inside the block use the same."""
    if _kept.get(num_processes) is not None:
        yield _kept[num_processes]
        return
    with _threads_shared(num_processes), Processes(num_processes) as pool:
        _kept[num_processes] = pool
        try:
            yield pool
        except BaseException:
            pool.stop()  # else they would be waited for
            raise
        finally:
            del _kept[num_processes]


@contextmanager
def _threads_shared(num_processes: int) -> Iterator[None]:
    """Processes inherit the number of threads that each may use."""
    name, before = "OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS")
    os.environ[name] = str(threads_of_each(num_processes))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def threads_of_each(num_processes: int) -> int:
    """How many threads one of several processes may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(asked) if asked.isdigit() else count_cores()
    return max(1, cores // num_processes)


def _set_up(parent: int) -> None:
    """Of each process: warnings alone, signals of the process that asked, and an end of its own when that was killed.

    Otherwise it would wait for ever, or write into a run that somebody goes on with.
    """
    from bert_playground.logs import set_up_logs

    listen_as_worker()
    # The end of an interpreter takes seconds on a busy machine, and those who ask wait for it.
    Finalize(None, os._exit, args=(0,), exitpriority=LAST)
    set_up_logs("WARNING")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
