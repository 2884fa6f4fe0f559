"""Scheduler: requests joined to batches by a token budget, computed by the one thread that owns MLX."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bert_playground.data.loaders.mlx_loader import PAD_MULTIPLE
from bert_playground.data.tokens.token_table import TokenizedTable, take_rows
from bert_playground.logger import logger
from bert_playground.mlx_threads import wait_at_exit
from bert_playground.serving.forward import EncoderLeaf
from bert_playground.serving.metrics import ServeMetrics
from bert_playground.serving.request_error import RequestError
from bert_playground.serving.text_inputs import join_tables

Array = np.ndarray[Any, Any]
Result = TypeVar("Result")


class Computed(NamedTuple):
    """The answers to the rows of one request.

    Attributes:
        values: [R, ...], or [N, ...] for the tokens of "hidden".
        queue_seconds: until the first batch with a row of it began.
        inference_seconds: of the batches that it was part of.
        enqueued: when its tokens were ready, by `time.perf_counter`.
    """

    values: Array
    queue_seconds: float
    inference_seconds: float
    enqueued: float


@dataclass(eq=False)
class _Work:
    """Rows of one request that wait; the first `next_row` are computed."""

    leaf: EncoderLeaf
    answer: str
    table: TokenizedTable
    future: "Future[Computed]" = field(default_factory=Future)
    next_row: int = 0
    parts: list[Array] = field(default_factory=list)
    enqueued: float = field(default_factory=time.perf_counter)
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0

    @property
    def key(self) -> tuple[EncoderLeaf, str]:
        """Work of one key can be computed together."""
        return self.leaf, self.answer

    @property
    def is_done(self) -> bool:
        return self.next_row >= self.table.num_rows

    def finish(self) -> None:
        values = np.concatenate(self.parts) if len(self.parts) > 1 else self.parts[0]
        done = Computed(values, self.queue_seconds, self.inference_seconds, self.enqueued)
        settle(self.future, done)


class _Part(NamedTuple):
    """Rows of a request that are in a batch."""

    work: _Work
    start: int
    end: int

    def take(self) -> TokenizedTable:
        table = self.work.table
        if self.end - self.start == table.num_rows:
            return table
        return take_rows(table, np.arange(self.start, self.end))


class Scheduler:
    """Owns MLX: every model is loaded and computed in its thread, for arrays may belong to the thread that made them.

    A batch takes rows of the request that waits longest and of all that ask the same of the same model, as far as the
    budget goes; a large request gets a batch at a time, and the others theirs in between.

    Args:
        max_batch_tokens: of a batch; padding counts where rows are padded.
        max_batch_rows: None: as many as fit.
        max_wait_seconds: how long a batch with room waits for requests that are being tokenised.
        metrics: is told of queue and batches.
    """

    def __init__(
        self,
        *,
        max_batch_tokens: int,
        max_batch_rows: int | None = None,
        max_wait_seconds: float = 0.005,
        metrics: ServeMetrics | None = None,
    ) -> None:
        self.max_batch_tokens = max_batch_tokens
        self.max_batch_rows = max_batch_rows
        self.max_wait_seconds = max_wait_seconds
        self.metrics = metrics or ServeMetrics()
        self._queue: deque[_Work] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._num_expected = 0
        self._is_busy = False
        self._is_stopped = False
        self._tokens_per_second = 0.0
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="mlx", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Run a function in the thread that owns MLX, before the next batch."""
        future: Future[Result] = Future()
        if self._is_here:
            _call(function, future)
            return future
        with self._condition:
            self._refuse_stopped()
            self._calls.append((function, future))
            self._condition.notify_all()
        return future

    def call_if_idle(self, function: Callable[[], Result]) -> "Future[Result] | None":
        """Run a function in the thread that owns MLX if it has nothing to do and nothing is on its way; else None.

        What the function submits is computed at once, so that it may wait for it.
        """
        future: Future[Result] = Future()
        with self._condition:
            is_busy = self._is_busy or self._queue or self._calls or self._num_expected
            if is_busy or self._is_stopped:
                return None
            self._calls.append((function, future))
            self._condition.notify_all()
        return future

    def submit(
        self, leaf: EncoderLeaf, table: TokenizedTable, answer: str = "scores"
    ) -> "Future[Computed]":
        """Queue rows; who cancels the future is no longer waited for.

        Args:
            leaf: the model.
            table: at least one row.
            answer: a name in ANSWERS.
        """
        work = _Work(leaf, answer, table)
        is_here = self._is_here
        with self._condition:
            if not is_here:
                self._refuse_stopped()
            self._queue.append(work)
            self._report_queue()
            self._condition.notify_all()
        while is_here and not work.future.done():
            with self._condition:
                batch = self._take_batch()
            self._compute(batch)
        return work.future

    def expect(self, change: int) -> None:
        """Count requests that are on their way: a batch with room waits for them a little."""
        with self._condition:
            self._num_expected += change
            self._condition.notify_all()

    def stop(self) -> None:
        """Compute what waits, then end the thread."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()
        self._thread.join()

    def estimate_wait(self) -> float:
        """Seconds until what waits now is computed."""
        with self._condition:
            waiting = sum(
                int(work.table.offsets[-1] - work.table.offsets[work.next_row])
                for work in self._queue
            )
        return waiting / self._tokens_per_second if self._tokens_per_second else 1.0

    @property
    def is_running(self) -> bool:
        """Whether requests are still computed."""
        return self._thread.is_alive() and not self._is_stopped

    @property
    def _is_here(self) -> bool:
        """Whether this is the thread that owns MLX."""
        return threading.current_thread() is self._thread

    def _refuse_stopped(self) -> None:
        if self._is_stopped:
            raise RequestError("Unhealthy", "the server is shutting down; ask another one")

    def _run(self) -> None:
        wait_at_exit()
        while True:
            with self._condition:
                self._is_busy = False
                while not (self._queue or self._calls or self._is_stopped):
                    self._condition.wait()
                self._is_busy = True
                if self._calls:
                    task = self._calls.popleft()
                elif self._queue:
                    task, batch = None, self._take_batch()
                else:
                    return
            if task is None:
                self._compute(batch)
            else:
                _call(*task)

    def _take_batch(self) -> list[_Part]:
        """Rows for one forward pass, after a bounded wait for more; the lock is held."""
        while True:
            self._forget_cancelled()
            if not self._queue:
                return []
            first = self._queue[0]
            parts, is_full = self._choose(first.key)
            left = first.enqueued + self.max_wait_seconds - time.perf_counter()
            if is_full or not self._num_expected or left <= 0 or self._calls or self._is_stopped:
                break
            self._condition.wait(left)
        for part in parts:
            part.work.next_row = part.end
        unfinished = [part.work for part in parts if not part.work.is_done]
        taken = {id(part.work) for part in parts}
        others = [work for work in self._queue if id(work) not in taken]
        self._queue = deque([*others, *unfinished])  # whoever had a batch stands behind the others
        self._report_queue()
        return parts

    def _choose(self, key: tuple[EncoderLeaf, str]) -> tuple[list[_Part], bool]:
        """What fits into one batch, and whether something did not."""
        parts: list[_Part] = []
        num_rows = width = tokens = 0
        most_rows = self.max_batch_rows or np.iinfo(np.int64).max
        for work in self._queue:
            if work.key != key:
                continue
            lengths = work.table.lengths[work.next_row :]
            if work.leaf.is_packed:
                costs = tokens + np.cumsum(lengths)
            else:
                widths = np.maximum(np.maximum.accumulate(pad_length(lengths)), width)
                costs = widths * (num_rows + 1 + np.arange(len(lengths)))
            count = int(np.searchsorted(costs, self.max_batch_tokens, side="right"))
            count = min(max(count, 0 if parts else 1), most_rows - num_rows)
            if count:
                parts.append(_Part(work, work.next_row, work.next_row + count))
                num_rows, tokens = num_rows + count, int(costs[count - 1])
                width = max(width, int(pad_length(lengths[:count]).max()))
            if count < len(lengths):
                return parts, True
        return parts, False

    def _compute(self, parts: list[_Part]) -> None:
        if not parts:
            return
        leaf, answer = parts[0].work.key
        tables = [part.take() for part in parts]
        table = join_tables(tables)
        began = time.perf_counter()
        try:
            values = leaf.compute(table, answer)
        except Exception:  # whatever it is, the next batch is another one
            logger.exception("a batch could not be computed")
            self._fail([part.work for part in parts])
            return
        seconds = time.perf_counter() - began
        num_tokens = int(table.offsets[-1])
        self.metrics.observe_batch(table.num_rows, num_tokens, seconds)
        speed = num_tokens / max(seconds, 1e-6)
        self._tokens_per_second = 0.8 * (self._tokens_per_second or speed) + 0.2 * speed
        sizes = [len(each.ids) if answer == "hidden" else each.num_rows for each in tables]
        for part, found in zip(parts, np.split(values, np.cumsum(sizes)[:-1]), strict=True):
            work = part.work
            if not work.parts:
                work.queue_seconds = began - work.enqueued
            work.parts.append(found)
            work.inference_seconds += seconds
            if part.end == work.table.num_rows:
                work.finish()

    def _fail(self, works: list[_Work]) -> None:
        message = "the model failed on these inputs; the server's log says why"
        for work in works:
            settle(work.future, error=RequestError("Backend", message))
        with self._condition:
            self._forget_cancelled()

    def _forget_cancelled(self) -> None:
        self._queue = deque(work for work in self._queue if not work.future.done())

    def _report_queue(self) -> None:
        self.metrics.queue_size.set(len(self._queue))


def pad_length(lengths: Array) -> Array:
    """The widths to which rows of these lengths are padded when they stand alone."""
    return np.asarray(-(-np.maximum(lengths, 1) // PAD_MULTIPLE) * PAD_MULTIPLE)


def _call(function: Callable[[], Any], future: "Future[Any]") -> None:
    try:
        value = function()
    except BaseException as error:  # it belongs to who asked
        settle(future, error=error)
    else:
        settle(future, value)


def settle(future: "Future[Any]", value: Any = None, error: BaseException | None = None) -> None:
    """Give a result to who still waits for it."""
    try:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
    except InvalidStateError:  # cancelled meanwhile
        return
