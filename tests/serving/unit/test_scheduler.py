"""Scheduler: what is computed together, in which order, and what happens to who gives up."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bert_playground.data.tokens.token_table import TokenizedTable, offsets_of
from bert_playground.serving.request_error import RequestError
from bert_playground.serving.scheduler import Computed, Scheduler

if TYPE_CHECKING:
    from concurrent.futures import Future


class Leaf:
    """Answers each row with its first id; remembers its batches, and waits until it may begin."""

    def __init__(self, *, is_packed: bool = True) -> None:
        self.is_packed = is_packed
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.may_begin = threading.Event()
        self.has_begun = threading.Event()

    def compute(self, table: TokenizedTable, answer: str) -> np.ndarray:
        self.has_begun.set()
        assert self.may_begin.wait(10)
        self.threads.add(threading.current_thread().name)
        if answer == "logits":
            raise RuntimeError("no such answer")
        self.batches.append(table.lengths.tolist())
        return table.ids if answer == "hidden" else table.ids[table.offsets[:-1]]


def rows(*lengths: int, first: int = 0) -> TokenizedTable:
    ids = np.concatenate(
        [np.full(size, first + place) for place, size in enumerate(lengths)]
    ).astype(np.int32)
    return TokenizedTable(ids, offsets_of(np.array(lengths)))


def values(future: "Future[Computed]") -> list[int]:
    return future.result(10).values.tolist()


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(max_batch_tokens=20, max_wait_seconds=0)
    yield made
    made.stop()


def hold(scheduler: Scheduler, leaf: Leaf) -> "Future[Computed]":
    """Something that is being computed, while other things are queued."""
    first = scheduler.submit(leaf, rows(1))
    assert leaf.has_begun.wait(10)
    return first


def test_requests_are_joined_up_to_the_budget(scheduler: Scheduler) -> None:
    leaf = Leaf()
    hold(scheduler, leaf)
    asked = [scheduler.submit(leaf, rows(8, first=number)) for number in range(5)]
    leaf.may_begin.set()
    assert [values(each) for each in asked] == [[0], [1], [2], [3], [4]]
    assert leaf.batches == [[1], [8, 8], [8, 8], [8]]
    assert leaf.threads == {"mlx"}


def test_padding_counts_where_rows_are_padded(scheduler: Scheduler) -> None:
    leaf = Leaf(is_packed=False)
    hold(scheduler, leaf)
    asked = [scheduler.submit(leaf, rows(size)) for size in (2, 9, 3)]
    leaf.may_begin.set()
    for each in asked:
        each.result(10)
    assert leaf.batches == [[1], [2], [9], [3]]  # 8 and 16 tokens: together they would be 32


def test_a_large_request_lets_others_between(scheduler: Scheduler) -> None:
    leaf = Leaf()
    hold(scheduler, leaf)
    large = scheduler.submit(leaf, rows(*[10] * 6))
    small = scheduler.submit(leaf, rows(5, first=70))
    leaf.may_begin.set()
    assert values(large) == [0, 1, 2, 3, 4, 5]
    assert values(small) == [70]
    assert leaf.batches == [[1], [10, 10], [5, 10], [10, 10], [10]]


def test_a_row_beyond_the_budget_is_computed_alone(scheduler: Scheduler) -> None:
    leaf = Leaf()
    leaf.may_begin.set()
    assert values(scheduler.submit(leaf, rows(50))) == [0]


def test_answers_of_tokens_go_to_their_requests(scheduler: Scheduler) -> None:
    leaf = Leaf()
    hold(scheduler, leaf)
    first = scheduler.submit(leaf, rows(2, 1, first=5), "hidden")
    second = scheduler.submit(leaf, rows(3, first=8), "hidden")
    leaf.may_begin.set()
    assert values(first) == [5, 5, 6]
    assert values(second) == [8, 8, 8]


def test_who_gives_up_is_not_computed(scheduler: Scheduler) -> None:
    leaf = Leaf()
    hold(scheduler, leaf)
    gone, here = scheduler.submit(leaf, rows(3)), scheduler.submit(leaf, rows(4))
    assert gone.cancel()
    leaf.may_begin.set()
    here.result(10)
    assert leaf.batches == [[1], [4]]


def test_a_failed_batch_fails_its_requests_alone(scheduler: Scheduler) -> None:
    leaf = Leaf()
    leaf.may_begin.set()
    with pytest.raises(RequestError) as caught:
        scheduler.submit(leaf, rows(3), "logits").result(10)
    assert caught.value.status_code == 424
    assert "no such answer" not in caught.value.message
    assert values(scheduler.submit(leaf, rows(3, first=9))) == [9]


def test_a_batch_with_room_waits_for_requests_on_their_way() -> None:
    scheduler = Scheduler(max_batch_tokens=20, max_wait_seconds=5)
    leaf = Leaf()
    leaf.may_begin.set()
    scheduler.expect(1)
    first = scheduler.submit(leaf, rows(3))
    second = scheduler.submit(leaf, rows(4, first=2))
    scheduler.expect(-1)
    assert [values(first), values(second)] == [[0], [2]]
    assert leaf.batches == [[3, 4]]
    scheduler.stop()


def test_stopping_computes_what_waits_and_refuses_what_comes() -> None:
    scheduler = Scheduler(max_batch_tokens=20)
    leaf = Leaf()
    hold(scheduler, leaf)
    waiting = scheduler.submit(leaf, rows(3, first=4))
    stopper = threading.Thread(target=scheduler.stop)
    stopper.start()
    leaf.may_begin.set()
    assert values(waiting) == [4]
    stopper.join(10)
    with pytest.raises(RequestError, match="shutting down"):
        scheduler.submit(leaf, rows(1))


def test_calls_run_in_the_thread_that_owns_mlx(scheduler: Scheduler) -> None:
    assert scheduler.call(lambda: threading.current_thread().name).result(10) == "mlx"
    with pytest.raises(ZeroDivisionError):
        scheduler.call(lambda: 1 // 0).result(10)


def test_a_call_that_finds_the_thread_idle_may_wait_for_what_it_submits(
    scheduler: Scheduler,
) -> None:
    leaf = Leaf()
    leaf.may_begin.set()
    names: list[str] = []

    def ask() -> list[int]:
        names.append(threading.current_thread().name)
        whole = scheduler.submit(leaf, rows(15, 15, 15, first=7))
        assert whole.done()
        return [*values(whole), scheduler.call(lambda: 3).result(0)]

    asked = scheduler.call_if_idle(ask)
    assert asked is not None
    assert asked.result(10) == [7, 8, 9, 3]
    assert names == ["mlx"]
    assert leaf.batches == [[15], [15], [15]]  # as far as the budget goes


def test_a_busy_thread_is_not_called(scheduler: Scheduler) -> None:
    leaf = Leaf()
    first = hold(scheduler, leaf)
    assert scheduler.call_if_idle(lambda: 1) is None
    leaf.may_begin.set()
    first.result(10)
    scheduler.expect(1)
    assert scheduler.call_if_idle(lambda: 1) is None
    scheduler.expect(-1)


def test_what_is_queued_beside_a_lone_call_is_computed_too(scheduler: Scheduler) -> None:
    leaf = Leaf()
    others: list[Future[Computed]] = []

    def ask() -> list[int]:
        thread = threading.Thread(
            target=lambda: others.append(scheduler.submit(leaf, rows(2, first=5)))
        )
        thread.start()
        thread.join()
        leaf.may_begin.set()
        return values(scheduler.submit(leaf, rows(2, first=8)))

    asked = scheduler.call_if_idle(ask)
    assert asked is not None
    assert asked.result(10) == [8]
    assert values(others[0]) == [5]
    assert leaf.batches == [[2, 2]]


def test_errors_of_a_lone_call_go_to_who_asked(scheduler: Scheduler) -> None:
    leaf = Leaf()
    leaf.may_begin.set()
    asked = scheduler.call_if_idle(lambda: values(scheduler.submit(leaf, rows(1), "logits")))
    assert asked is not None
    with pytest.raises(RequestError, match="the model failed"):
        asked.result(10)


def test_a_stopped_scheduler_calls_nobody() -> None:
    stopped = Scheduler(max_batch_tokens=20)
    stopped.stop()
    assert stopped.call_if_idle(lambda: 1) is None
