"""Requests that wait are answered by one call; errors and answers go to who asked."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from bert_playground.serving.joiner import Joiner, Run


@pytest.fixture
def run() -> Iterator[Run]:
    with ThreadPoolExecutor(4) as pool:
        yield lambda call, size: pool.submit(call)


class Calls:
    """Doubles what it is asked, and remembers together with what; the first call waits until it may go on."""

    def __init__(self) -> None:
        self.joined: list[list[Any]] = []
        self.may_go_on = threading.Event()
        self.wanted: list[Future[None]] = []

    def answer(self, items: Sequence[Any], wanted: Future[None]) -> list[Any]:
        self.joined.append(list(items))
        self.wanted.append(wanted)
        if len(self.joined) == 1:
            assert self.may_go_on.wait(10)
        if "bad" in items:
            raise ValueError("a bad item")
        return [2 * item for item in items]


async def ask_behind(
    joiner: Joiner, calls: Calls, items: Sequence[Any], keys: Sequence[str] = ()
) -> list[Any]:
    """Ask all items while a first call runs."""
    first = asyncio.ensure_future(joiner.ask("a", calls.answer, 0, 1))
    while not calls.joined:
        await asyncio.sleep(0.001)
    keys = keys or ["a"] * len(items)
    asked = [
        asyncio.ensure_future(joiner.ask(key, calls.answer, item, 1))
        for key, item in zip(keys, items, strict=True)
    ]
    await asyncio.sleep(0.01)
    calls.may_go_on.set()
    await first
    return await asyncio.gather(*asked, return_exceptions=True)


def test_who_waits_is_answered_by_one_call(run: Run) -> None:
    calls = Calls()
    answers = asyncio.run(ask_behind(Joiner(run, most=9, at_once=1), calls, [1, 2, 3]))
    assert answers == [2, 4, 6]
    assert calls.joined == [[0], [1, 2, 3]]


def test_those_that_come_together_are_joined_though_nobody_runs(
    run: Run,
) -> None:
    calls = Calls()
    calls.may_go_on.set()

    async def ask() -> list[Any]:
        joiner = Joiner(run, most=9)
        return await asyncio.gather(*(joiner.ask("a", calls.answer, i, 1) for i in range(4)))

    assert asyncio.run(ask()) == [0, 2, 4, 6]
    assert calls.joined == [[0, 1, 2, 3]]


def test_a_call_takes_no_more_than_fits_and_only_what_asks_the_same(
    run: Run,
) -> None:
    calls = Calls()
    joiner = Joiner(run, most=2, at_once=1)
    answers = asyncio.run(ask_behind(joiner, calls, [1, 2, 3, 4], ["b", "c", "b", "b"]))
    assert answers == [2, 4, 6, 8]
    assert calls.joined == [[0], [1, 3], [2], [4]]


def test_nobody_waits_while_fewer_calls_run_than_may(run: Run) -> None:
    calls = Calls()

    async def ask() -> Any:
        joiner = Joiner(run, most=9, at_once=2)
        first = asyncio.ensure_future(joiner.ask("a", calls.answer, 1, 1))
        while not calls.joined:
            await asyncio.sleep(0.001)
        second = await asyncio.wait_for(joiner.ask("a", calls.answer, 2, 1), 10)
        calls.may_go_on.set()
        return second, await first

    assert asyncio.run(ask()) == (4, 2)


def test_a_call_starts_beside_another_one_when_enough_waits(run: Run) -> None:
    calls = Calls()

    async def ask() -> Any:
        joiner = Joiner(run, most=9, enough=3, at_once=2)
        first = asyncio.ensure_future(joiner.ask("a", calls.answer, 1, 1))
        while not calls.joined:
            await asyncio.sleep(0.001)
        few = asyncio.ensure_future(joiner.ask("a", calls.answer, 2, 2))
        await asyncio.sleep(0.01)
        assert len(calls.joined) == 1
        enough = await asyncio.wait_for(joiner.ask("a", calls.answer, 3, 1), 10)
        calls.may_go_on.set()
        return enough, await few, await first

    assert asyncio.run(ask()) == (6, 4, 2)
    assert calls.joined == [[1], [2, 3]]


def test_an_error_belongs_to_who_asked(run: Run) -> None:
    calls = Calls()
    answers = asyncio.run(ask_behind(Joiner(run, most=9, at_once=1), calls, [1, "bad", 3]))
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], ValueError)


def test_who_gives_up_while_waiting_is_left_out(run: Run) -> None:
    calls = Calls()

    async def ask() -> Any:
        joiner = Joiner(run, most=9, at_once=1)
        first = asyncio.ensure_future(joiner.ask("a", calls.answer, 1, 1))
        while not calls.joined:
            await asyncio.sleep(0.001)
        tired = asyncio.ensure_future(joiner.ask("a", calls.answer, 2, 1))
        patient = asyncio.ensure_future(joiner.ask("a", calls.answer, 3, 1))
        await asyncio.sleep(0)
        tired.cancel()
        await asyncio.sleep(0)
        calls.may_go_on.set()
        await first
        return await patient

    assert asyncio.run(ask()) == 6
    assert calls.joined == [[1], [3]]


def test_a_call_that_nobody_waits_for_is_told(run: Run) -> None:
    calls = Calls()

    async def ask() -> None:
        joiner = Joiner(run, most=9, at_once=1)
        both = [asyncio.ensure_future(joiner.ask("a", calls.answer, i, 1)) for i in range(2)]
        while not calls.joined:
            await asyncio.sleep(0.001)
        both[0].cancel()
        await asyncio.sleep(0.005)
        assert not calls.wanted[0].cancelled()
        both[1].cancel()
        await asyncio.sleep(0.005)
        assert calls.wanted[0].cancelled()
        calls.may_go_on.set()

    asyncio.run(ask())
