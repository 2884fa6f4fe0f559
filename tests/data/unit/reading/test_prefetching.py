"""prefetch: the order of the sources whatever the number of threads, errors at once, threads that end."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.reading.prefetching import prefetch


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@given(st.integers(0, 30), st.integers(0, 9), st.integers(0, 6))
def test_items_come_in_the_order_of_their_sources(count: int, size: int, workers: int) -> None:
    def make(number: int) -> int:
        time.sleep((number * 7 % 5) / 5000)
        return number * number

    assert list(prefetch(make, range(count), size, workers)) == [i * i for i in range(count)]
    assert not threads()


def test_at_most_size_items_are_made_ahead() -> None:
    made: list[int] = []
    items = prefetch(lambda i: made.append(i) or i, range(100), 4, 2)
    assert next(items) == 0
    time.sleep(0.05)
    assert sorted(made) == [0, 1, 2, 3, 4]
    items.close()


def test_an_error_is_raised_at_once_while_an_earlier_item_is_still_being_made() -> None:
    release = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            raise KeyError("row 1")
        release.wait(5)
        return number

    timer = threading.Timer(0.2, release.set)  # ends the slow item, which shutdown waits for
    timer.start()
    started = time.perf_counter()
    with pytest.raises(KeyError, match="row 1"):
        list(prefetch(make, range(3), 3, 2))
    assert time.perf_counter() - started < 2
    assert not threads()


def test_leaving_early_ends_the_threads_and_closes_the_sources() -> None:
    closed = []

    def sources() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    for size in (0, 3):
        items = prefetch(str, sources(), size, 2)
        next(items)
        items.close()
    assert closed == [True, True]
    assert not threads()


def test_an_error_in_the_sources_is_raised() -> None:
    def sources() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(prefetch(str, sources(), 4))
    assert not threads()
