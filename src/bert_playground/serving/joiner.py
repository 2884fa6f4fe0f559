"""Joiner: small requests that come while others are answered, answered together."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

# Items, and what is cancelled when nobody waits for them any more → their answers, in order.
Answer = Callable[[Sequence[Any], "Future[None]"], Sequence[Any]]
# A call, and the sizes of its requests together → its answers, from another thread.
Run = Callable[[Callable[[], list[Any]], int], "Future[list[Any]]"]


@dataclass(eq=False)
class _Asked:
    """A request that waits."""

    key: Hashable
    answer: Answer
    item: Any
    size: int
    future: "asyncio.Future[Any]"
    call: "_Call | None" = None


@dataclass(eq=False)
class _Call:
    """Requests that are answered together."""

    joined: list[_Asked]
    wanted: "Future[None]"

    def answer(self) -> list[Any]:
        """Answers, or errors in their places."""
        answer = self.joined[0].answer
        return _answer_all(answer, [each.item for each in self.joined], self.wanted)

    def settle(self, answers: Sequence[Any]) -> None:
        """Give the answers to who still waits."""
        for asked, answer in zip(self.joined, answers, strict=True):
            if asked.future.done():
                continue
            if isinstance(answer, BaseException):
                asked.future.set_exception(answer)
            else:
                asked.future.set_result(answer)


class Joiner:
    """Answers in threads: one call for all requests that wait, and nobody waits while no call runs.

    To read, to compute and to write one row costs about as much as fifty, and so does each change of threads: a few rows
    wait for the call that runs, and for more to come. For use in one event loop.

    Args:
        run: starts a call in a thread.
        most: sizes of the requests of one call together, unless one alone is larger.
        enough: sizes of those that wait together, for which a call starts beside one that runs.
        at_once: calls: while one computes, the next one reads.
    """

    def __init__(self, run: Run, *, most: int, enough: int = 1, at_once: int = 2) -> None:
        self._run, self._most, self._enough, self._at_once = run, most, enough, at_once
        self._waiting: deque[_Asked] = deque()
        self._size = 0  # of those that wait
        self._num_calls = 0
        self._is_due = False

    async def ask(self, key: Hashable, answer: Answer, item: Any, size: int) -> Any:
        """The answer to an item; a call that nobody waits for any more is told so.

        Args:
            key: requests with equal ones are joined.
            answer: where it raises, each item is answered alone, so that errors belong to who asked.
            item: what is asked.
            size: of it, such as its rows.

        Raises:
            Exception: what `answer` raises for this item alone.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(key, answer, item, size, loop.create_future())
        self._waiting.append(asked)
        self._size += size
        if not self._is_due and self._may_start():
            self._is_due = True
            loop.call_soon(self._start, loop)  # behind all requests that have come by now
        try:
            return await asked.future
        except asyncio.CancelledError:
            if asked.call and all(each.future.done() for each in asked.call.joined):
                asked.call.wanted.cancel()
            raise

    def _may_start(self) -> bool:
        if self._num_calls == 0:
            return True
        return self._num_calls < self._at_once and self._size >= self._enough

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        if joined := self._take():
            call = _Call(joined, Future())
            for asked in joined:
                asked.call = call
            self._num_calls += 1
            size = sum(asked.size for asked in joined)
            running = asyncio.wrap_future(self._run(call.answer, size), loop=loop)
            running.add_done_callback(lambda done: self._finish(loop, call, done))

    def _take(self) -> list[_Asked]:
        """Who waits longest, and all that ask the same, as far as they fit."""
        joined: list[_Asked] = []
        others: deque[_Asked] = deque()
        size = 0
        for asked in self._waiting:
            if asked.future.done():
                continue
            fits = not joined or size + asked.size <= self._most
            if fits and (not joined or asked.key == joined[0].key):
                joined.append(asked)
                size += asked.size
            else:
                others.append(asked)
        self._waiting = others
        self._size = sum(asked.size for asked in others)
        return joined

    def _finish(
        self, loop: asyncio.AbstractEventLoop, call: _Call, done: "asyncio.Future[list[Any]]"
    ) -> None:
        self._num_calls -= 1
        call.settle(done.result())
        while self._waiting and self._may_start():
            self._start(loop)


def _answer_all(answer: Answer, items: Sequence[Any], wanted: "Future[None]") -> list[Any]:
    try:
        return list(answer(items, wanted))
    except Exception as error:
        if len(items) == 1 or wanted.cancelled():
            return [error] * len(items)
        return [each for item in items for each in _answer_all(answer, [item], wanted)]
