"""A load generator on plain sockets: clients that ask one request after the other, for benchmarks/serving.py.

One thread and no coroutines: it shares the cores with the server that it measures, so that all it does counts.
"""

import heapq
import json
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

PAUSE_SECONDS = 0.1  # before a client that was refused asks again
CHUNK_BYTES = 2**18
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What came back.

    Attributes:
        seconds: from the first request to the last answer.
        own_seconds: of them those in which this generator held a core.
        latencies: of the requests that were answered, in seconds.
        statuses: how often each HTTP status came; 0: the connection broke.
        answers: number of the request → its answer, where they are kept.
        since_broken: answers since a connection last broke.
    """

    seconds: float = 0.0
    own_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    answers: dict[int, Any] = field(default_factory=dict)
    since_broken: int = 0

    def summarise(self, rows_per_request: int = 1) -> dict[str, Any]:
        """Throughput, percentiles of latency, and what the generator itself costs."""
        times = np.array(self.latencies or [float("nan")]) * 1000
        num_requests = len(self.latencies)
        return {
            "requests_per_second": round(num_requests / self.seconds, 1),
            "rows_per_second": round(rows_per_request * num_requests / self.seconds, 1),
            "p50_ms": round(float(np.percentile(times, 50)), 2),
            "p99_ms": round(float(np.percentile(times, 99)), 2),
            "generator_us_per_request": round(1e6 * self.own_seconds / max(1, num_requests), 1),
            "statuses": dict(self.statuses),
        }


class _Client:
    """A connection with one request at a time."""

    def __init__(self) -> None:
        self.connection: socket.socket | None = None
        self.number = 0
        self.started = 0.0
        self.received = b""

    def ask(self, port: int, selector: selectors.BaseSelector, request: bytes) -> None:
        """Send a request.

        Raises:
            OSError: nobody listens, or the connection broke.
        """
        self.started = time.perf_counter()
        if self.connection is None:
            self.connection = socket.create_connection(("127.0.0.1", port))
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(self.connection, selectors.EVENT_READ, self)
        self.connection.sendall(request)

    def read(self) -> tuple[int, bytes] | None:
        """Status and body when all of them are there.

        Raises:
            OSError: the connection broke.
            ValueError: that is no answer with a length.
        """
        assert self.connection is not None
        chunk = self.connection.recv(CHUNK_BYTES)
        if not chunk:
            raise ConnectionResetError
        self.received = received = self.received + chunk if self.received else chunk
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        length = LENGTH.search(received, 0, end)
        if length is None:
            raise ValueError("the answer has no content-length")
        if len(received) < end + int(length[1]):
            return None
        self.received = b""
        return int(received[9:12]), received[end:]

    def close(self, selector: selectors.BaseSelector) -> None:
        """Forget the connection."""
        if self.connection is not None:
            selector.unregister(self.connection)
            self.connection.close()
        self.connection, self.received = None, b""


class _Run:
    """All clients of one load."""

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        numbers: Iterator[int],
        end: float,
        *,
        keep_answers: bool,
    ) -> None:
        self.load = Load()
        self._port, self._requests, self._numbers = port, requests, numbers
        self._end, self._keep_answers = end, keep_answers
        self._selector = selectors.DefaultSelector()
        self._pauses: list[tuple[float, int, _Client]] = []
        self._num_asking = 0

    def run(self, num_clients: int) -> None:
        """Until nobody asks any more."""
        for client in [_Client() for _ in range(num_clients)]:
            self._ask(client)
        while self._num_asking or self._pauses:
            wait = self._pauses[0][0] - time.perf_counter() if self._pauses else None
            for key, _ in self._selector.select(wait):
                self._read(key.data)
            while self._pauses and self._pauses[0][0] <= time.perf_counter():
                self._ask(heapq.heappop(self._pauses)[2])

    def _ask(self, client: _Client) -> None:
        number = next(self._numbers, None)
        if number is None or time.perf_counter() >= self._end:
            client.close(self._selector)
            return
        client.number = number
        self._num_asking += 1
        try:
            client.ask(self._port, self._selector, self._requests[number % len(self._requests)])
        except OSError:
            self._break(client)

    def _read(self, client: _Client) -> None:
        try:
            answer = client.read()
        except (OSError, ValueError):
            self._break(client)
            return
        if answer is None:
            return
        self._num_asking -= 1
        status, body = answer
        load = self.load
        load.statuses[status] += 1
        if status != 200:
            self._pause(client)
            return
        load.since_broken += 1
        load.latencies.append(time.perf_counter() - client.started)
        if self._keep_answers:
            load.answers[client.number] = json.loads(body)
        self._ask(client)

    def _break(self, client: _Client) -> None:
        self._num_asking -= 1
        self.load.statuses[0] += 1
        self.load.since_broken = 0
        client.close(self._selector)
        self._pause(client)

    def _pause(self, client: _Client) -> None:
        heapq.heappush(self._pauses, (time.perf_counter() + PAUSE_SECONDS, id(client), client))


def run_load(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    *,
    num_clients: int,
    num_requests: int | None = None,
    seconds: float = float("inf"),
    keep_answers: bool = False,
) -> Load:
    """Ask by so many clients at once, until all requests are answered or the time is over.

    Args:
        port: on this machine.
        path: of the route.
        bodies: JSON documents, asked in turn.
        num_clients: connections, each with one request at a time.
        num_requests: in all; None: as many as fit into `seconds`.
        seconds: after which nobody asks again.
        keep_answers: whether answers are kept.
    """
    requests = [_spell(path, body) for body in bodies]
    numbers = count() if num_requests is None else iter(range(num_requests))
    began, own_began = time.perf_counter(), time.thread_time()
    running = _Run(port, requests, numbers, began + seconds, keep_answers=keep_answers)
    running.run(num_clients)
    running.load.seconds = time.perf_counter() - began
    running.load.own_seconds = time.thread_time() - own_began
    return running.load


def _spell(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
