"""A load generator on plain sockets: clients that ask one request after the other, for benchmarks/serving.py."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PAUSE_SECONDS = 0.1  # before a client that was refused asks again


@dataclass
class Load:
    """What came back.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: of the requests that were answered, in seconds.
        statuses: how often each HTTP status came; 0: the connection broke.
        answers: number of the request → its answer, where they are kept.
        since_broken: answers since a connection last broke.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    answers: dict[int, Any] = field(default_factory=dict)
    since_broken: int = 0

    def summarise(self, rows_per_request: int = 1) -> dict[str, Any]:
        """Throughput and percentiles of latency."""
        times = np.array(self.latencies or [float("nan")]) * 1000
        return {
            "requests_per_second": round(len(self.latencies) / self.seconds, 1),
            "rows_per_second": round(rows_per_request * len(self.latencies) / self.seconds, 1),
            "p50_ms": round(float(np.percentile(times, 50)), 2),
            "p99_ms": round(float(np.percentile(times, 99)), 2),
            "statuses": dict(self.statuses),
        }


async def run_load(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    *,
    num_clients: int,
    num_requests: int | None = None,
    seconds: float | None = None,
    keep_answers: bool = False,
) -> Load:
    """Ask by so many clients at once, until all requests are answered or the time is over.

    Args:
        port: on this machine.
        path: of the route.
        bodies: JSON documents, asked in turn.
        num_clients: connections, each with one request at a time.
        num_requests: in all; None: as many as fit into `seconds`.
        seconds: None: until `num_requests` are done.
        keep_answers: whether answers are kept.
    """
    load, began = Load(), time.perf_counter()
    end = None if seconds is None else began + seconds
    numbers = iter(range(num_requests)) if num_requests is not None else iter(range(10**9))

    async def be_client() -> None:
        connection = None
        for number in numbers:
            if end is not None and time.perf_counter() >= end:
                return
            started = time.perf_counter()
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", port)
                status, answer = await _ask(*connection, path, bodies[number % len(bodies)])
            except (OSError, asyncio.IncompleteReadError, ValueError):
                connection, status, load.since_broken = None, 0, 0
            load.statuses[status] += 1
            if status != 200:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                load.since_broken += 1
                load.latencies.append(time.perf_counter() - started)
                if keep_answers:
                    load.answers[number] = json.loads(answer)
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(be_client() for _ in range(num_clients)))
    load.seconds = time.perf_counter() - began
    return load


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
) -> tuple[int, bytes]:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)
