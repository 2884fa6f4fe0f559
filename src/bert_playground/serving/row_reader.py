"""RowReader: rows of many requests tokenised together, in threads that never touch MLX."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from bert_playground.data.tokens.token_table import TokenizedTable, take_rows
from bert_playground.serving.forward import EncoderLeaf
from bert_playground.serving.parts import Leaf, pipeline_of
from bert_playground.serving.scheduler import Computed, Scheduler, settle

MOST_ROWS = 4096  # that are tokenised together: of more, the cost of a call hardly counts


@dataclass(eq=False)
class _Reading:
    """Rows of one request that are to become tokens."""

    leaf: Leaf
    frame: pl.DataFrame
    future: "Future[Computed]" = field(default_factory=Future)


class RowReader:
    """Threads in which rows become tokens, which are then queued with the scheduler.

    To tokenise one row costs about as much as to tokenise a hundred, so whatever waits is read together; models beside
    the encoder answer here at once.

    Args:
        scheduler: computes what is read.
        num_workers: threads.
    """

    def __init__(self, scheduler: Scheduler, num_workers: int = 2) -> None:
        self._scheduler = scheduler
        self._waiting: deque[_Reading] = deque()
        self._condition = threading.Condition()
        self._is_stopped = False
        self._threads = [
            threading.Thread(target=self._run, name=f"read-{number}", daemon=True)
            for number in range(num_workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, leaf: Leaf, frame: pl.DataFrame) -> "Future[Computed]":
        """Scores of rows, as `Parts.read` gave them for this leaf."""
        reading = _Reading(leaf, frame)
        self._scheduler.expect(1)
        with self._condition:
            self._waiting.append(reading)
            self._condition.notify()
        return reading.future

    def read_here(self, leaf: Leaf, frame: pl.DataFrame) -> "Future[Computed]":
        """The same, read in this thread: of rows that were joined before, which no batch waits for."""
        reading = _Reading(leaf, frame)
        self._read([reading])
        return reading.future

    def stop(self) -> None:
        """Read what waits, then end the threads."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._waiting or self._is_stopped):
                    self._condition.wait()
                if not self._waiting:
                    return
                taken = self._take()
            try:
                self._read(taken)
            finally:
                self._scheduler.expect(-len(taken))

    def _take(self) -> list[_Reading]:
        """Whatever waits for the leaf of who waits longest, up to MOST_ROWS; the lock is held."""
        leaf = self._waiting[0].leaf
        taken: list[_Reading] = []
        rows = 0
        for reading in list(self._waiting):
            if reading.leaf is leaf and (not taken or rows + reading.frame.height <= MOST_ROWS):
                taken.append(reading)
                rows += reading.frame.height
        self._waiting = deque(each for each in self._waiting if each not in taken)
        return taken

    def _read(self, readings: Sequence[_Reading]) -> None:
        asked = [each for each in readings if not each.future.cancelled()]
        if not asked:
            return
        try:
            if isinstance(asked[0].leaf, EncoderLeaf):
                self._tokenize(asked[0].leaf, asked)
            else:
                _answer(asked)
        except Exception as error:  # it belongs to who asked, and not to the others
            if len(asked) == 1:
                settle(asked[0].future, error=error)
                return
            for each in asked:
                self._read([each])

    def _tokenize(self, leaf: EncoderLeaf, readings: Sequence[_Reading]) -> None:
        table = leaf.predictor.pipeline.tokenize(_join(readings))
        self._scheduler.metrics.observe_lengths(table.lengths)
        for reading, part in zip(readings, _split(table, readings), strict=True):
            self._pass_on(leaf, part, reading.future)

    def _pass_on(
        self, leaf: EncoderLeaf, table: TokenizedTable, future: "Future[Computed]"
    ) -> None:
        """Queue tokens; the answer, or the error, goes to who asked, and who gives up is forgotten."""
        inner = self._scheduler.submit(leaf, table)

        def answer(done: "Future[Computed]") -> None:
            if done.cancelled():
                return
            error = done.exception()
            settle(future, None if error else done.result(), error)

        inner.add_done_callback(answer)
        future.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)


def _join(readings: Sequence[_Reading]) -> pl.DataFrame:
    columns = pipeline_of(readings[0].leaf).columns
    return pl.concat([reading.frame.select(columns) for reading in readings])


def _split(table: TokenizedTable, readings: Sequence[_Reading]) -> list[TokenizedTable]:
    if len(readings) == 1:
        return [table]
    ends = np.cumsum([reading.frame.height for reading in readings])
    starts = [0, *ends[:-1]]
    return [
        take_rows(table, np.arange(start, end)) for start, end in zip(starts, ends, strict=True)
    ]


def _answer(readings: Sequence[_Reading]) -> None:
    """What a model beside the encoder says."""
    leaf = readings[0].leaf
    assert not isinstance(leaf, EncoderLeaf)
    began = time.perf_counter()
    scores = leaf.score_read(_join(readings))
    seconds = time.perf_counter() - began
    ends = np.cumsum([reading.frame.height for reading in readings])[:-1]
    for reading, own in zip(readings, np.split(scores, ends), strict=True):
        settle(reading.future, Computed(own, 0.0, seconds, began))
