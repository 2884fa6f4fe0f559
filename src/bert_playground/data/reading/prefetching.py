"""prefetch: make items in threads ahead of their use, in order; what fails is raised at once."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from itertools import islice
from typing import TypeVar

Source = TypeVar("Source")
Item = TypeVar("Item")


def prefetch(
    make: Callable[[Source], Item], sources: Iterable[Source], size: int, num_workers: int = 1
) -> Iterator[Item]:
    """Make an item of each source, at most `size` of them ahead of their use.

    Items come in the order of the sources, however many threads make them. An error is raised as soon as it happens,
    before the items that are ready. The threads end when the iteration does.

    Args:
        make: called in the threads.
        sources: iterated in the caller's thread; closed at the end where it is a generator.
        size: items made or being made ahead; 0: none, and no thread.
        num_workers: threads; 0: none.
    """
    rest = iter(sources)
    with ExitStack() as stack:
        if isinstance(rest, Generator):
            stack.enter_context(closing(rest))
        if size == 0 or num_workers == 0:
            yield from map(make, rest)
            return
        pool = ThreadPoolExecutor(min(num_workers, size), thread_name_prefix="prefetch")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        waiting = deque(pool.submit(make, source) for source in islice(rest, size))
        while waiting:
            _await_first(waiting)
            item = waiting.popleft().result()
            waiting.extend(pool.submit(make, source) for source in islice(rest, 1))
            yield item
            del item  # so that the consumer alone holds it while the next one is awaited


def _await_first(waiting: deque[Future[Item]]) -> None:
    """Wait for the first item, but raise what any of them has run into."""
    while True:
        for future in waiting:
            if future.done() and (error := future.exception()) is not None:
                raise error
        if waiting[0].done():
            return
        wait([future for future in waiting if not future.done()], return_when=FIRST_COMPLETED)
