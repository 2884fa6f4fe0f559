"""PickledEngine: an engine in this process that treats work as one of many machines does: all is pickled, nothing comes in order, a worker dies."""

import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bert_playground.engines import engine as module
from bert_playground.engines.engine import EngineRequest


class PickledEngine:
    """Two workers whose later job ends first; the first job of all is done twice, as after the death of a worker."""

    num_workers, num_threads, is_in_process = 2, 1, False

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def run(
        self, function: Callable[[Any], Any], jobs: Iterator[Any]
    ) -> Generator[tuple[Any, Any], None, None]:
        while batch := list(islice(jobs, self.num_workers)):
            for job in reversed(batch):
                if not self.calls:
                    self._call(function, job)
                yield job, self._call(function, job)

    def map(
        self, load: Callable[[], Callable[[Any], Any]], parts: Sequence[Any]
    ) -> Generator[Any, None, None]:
        answer = pickle.loads(pickle.dumps(load))()
        for part in reversed(parts):
            yield self._call(answer, part)

    def _call(self, function: Callable[[Any], Any], job: Any) -> Any:
        self.calls.append(job)
        return pickle.loads(pickle.dumps(function(pickle.loads(pickle.dumps(job)))))


def use_as_ray(monkeypatch: pytest.MonkeyPatch) -> PickledEngine:
    """Let `--engine ray` mean one, and give it."""
    engine = PickledEngine()

    @contextmanager
    def open_it(
        asked: EngineRequest, num_workers: int | None, shared: Path | None
    ) -> Iterator[PickledEngine]:
        assert shared is None or shared.is_file()
        yield engine

    monkeypatch.setitem(module.ENGINES, "ray", open_it)
    monkeypatch.setattr(module, "require_extra", lambda *a: None)
    return engine
