"""AccessLog: request ids, a JSON line for each request, and how long its stages took, as headers and metrics."""

import json
import re
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_playground.serving.metrics import ServeMetrics
from bert_playground.serving.security import header_of

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
# Who watches a server asks these all the time.
QUIET = ("/health", "/ping", "/metrics", "/v2/health/live", "/v2/health/ready")
# Key in the request's state → header, in milliseconds, as text-embeddings-inference names them.
STAGES = {
    "queue": "x-queue-time",
    "tokenization": "x-tokenization-time",
    "inference": "x-inference-time",
}


def write_line(record: dict[str, Any]) -> None:
    """One JSON document per line, on stderr."""
    sys.stderr.write(json.dumps(record) + "\n")


class AccessLog:
    """What is known of every request when it is over; neither bodies nor keys nor addresses are.

    Args:
        app: what answers.
        metrics: is told too.
        write: gets the record; None: nobody does.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: ServeMetrics,
        write: Callable[[dict[str, Any]], None] | None = write_line,
    ) -> None:
        self._app, self._metrics, self._write = app, metrics, write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with an id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header_of(scope, b"x-request-id")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state["request_id"], state["stages"], state["facts"] = request_id, {}, {}
        began, status = time.perf_counter(), 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = _headers(request_id, time.perf_counter() - began, state["stages"])
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            self._conclude(scope, status, time.perf_counter() - began)

    def _conclude(self, scope: Scope, status: int, seconds: float) -> None:
        state, metrics = scope["state"], self._metrics
        route = getattr(scope.get("route"), "path", None) or state.get("route", "other")
        metrics.request_count.labels(route).inc()
        if status < 400:
            metrics.request_success.labels(route).inc()
            metrics.request_duration.observe(seconds)
        else:
            metrics.request_failure.labels(route, str(status)).inc()
        stages = state["stages"]
        for name, histogram in (
            ("queue", metrics.queue_duration),
            ("tokenization", metrics.tokenization_duration),
            ("inference", metrics.inference_duration),
        ):
            if name in stages:
                histogram.observe(stages[name])
        if self._write is None or (route in QUIET and status < 400):
            return
        self._write(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "request_id": state["request_id"],
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(1000 * seconds, 2),
                **{f"{name}_ms": round(1000 * value, 2) for name, value in stages.items()},
                **state["facts"],
            }
        )


def _headers(
    request_id: str, seconds: float, stages: dict[str, float]
) -> list[tuple[bytes, bytes]]:
    times = {"x-total-time": seconds} | {STAGES[name]: value for name, value in stages.items()}
    listed = [(name.encode(), str(round(1000 * value)).encode()) for name, value in times.items()]
    return [(b"x-request-id", request_id.encode()), *listed]
