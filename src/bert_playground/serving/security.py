"""ApiKey, BodyLimit, Admission: who may ask, how much, and how many at once; pure ASGI, so that answers can be streamed."""

import hashlib
import hmac
import json
import math
import os
from collections.abc import Callable, Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bert_playground.serving.request_error import RequestError, too_large

API_KEY_VARIABLE = "BERT_API_KEY"
# Whoever keeps a server alive has no key; the page asks for it and holds no data.
VIEWER = "/static-offline-docs/"  # of fastapi-offline
OPEN_PATHS = (
    "/health",
    "/ping",
    "/v2/health/live",
    "/v2/health/ready",
    "/",
    "/page.js",
    "/page.css",
    "/icon.svg",
    "/docs",
    "/openapi.json",
)
MIN_KEY_LENGTH, MAX_KEY_LENGTH = 8, 1024


def read_api_key(path: Path | None) -> str | None:
    """The key that clients need: from a file, else the environment; None: none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too short or too long, or has letters that no header can carry.
    """
    if path is None:
        key, source = os.environ.get(API_KEY_VARIABLE, ""), API_KEY_VARIABLE
        if not key:
            return None
    else:
        with path.open("rb") as file:  # a wrong file may be large, or a device without end
            key = file.read(2 * MAX_KEY_LENGTH).decode("utf-8", "replace").strip()
        source = str(path)
    is_plain = key.isascii() and key.isprintable() and " " not in key
    if not MIN_KEY_LENGTH <= len(key) <= MAX_KEY_LENGTH or not is_plain:
        raise ValueError(
            f"the API key in {source} has not {MIN_KEY_LENGTH} to {MAX_KEY_LENGTH} letters, or others than printable ASCII; "
            "make one with: openssl rand -hex 24"
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def send_error(send: Send, error: RequestError) -> None:
    """Answer with an error, outside of any route."""
    body = json.dumps(error.to_dict()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
    ]
    start = {"type": "http.response.start", "status": error.status_code, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def header_of(scope: Scope, name: bytes) -> str:
    """A header of a request; "" where it has none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


class ApiKey:
    """Lets requests with the right key pass; the comparison takes as long for every wrong key.

    Args:
        app: what is guarded.
        key: None: everybody may ask.
    """

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app = app
        # Of digests, so that not even the length of the key is measured.
        self._digest = None if key is None else hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] != "http" or self._digest is None or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        scheme, _, given = header_of(scope, b"authorization").partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1", "replace")).digest()
        if hmac.compare_digest(digest, self._digest) and scheme.lower() == "bearer":
            await self._app(scope, receive, send)
            return
        await send_error(
            send,
            RequestError(
                "Unauthorized",
                "the API key is missing or wrong; send the header Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            ),
        )

    def _is_open(self, scope: Scope) -> bool:
        is_open = scope["path"] in OPEN_PATHS or scope["path"].startswith(VIEWER)
        return is_open and scope["method"] in ("GET", "HEAD")


class BodyLimit:
    """Reads a request's body before anything is done for it, and refuses one that is too large.

    Args:
        app: what gets the whole body.
        limit: bytes.
        csv_limit: bytes of a CSV, which is not read here: the route streams it to a file, and counts itself.
    """

    def __init__(self, app: ASGIApp, limit: int, csv_limit: int) -> None:
        self._app, self._limit, self._csv_limit = app, limit, csv_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_csv = is_csv_request(scope)
        limit = self._csv_limit if is_csv else self._limit
        stated = header_of(scope, b"content-length")
        if stated.isdigit() and len(stated) < 20 and int(stated) > limit:
            await send_error(send, over_limit(limit))
            return
        if is_csv:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > limit:
                await send_error(send, over_limit(limit))
                return
            if not message.get("more_body", False):
                break
        await self._app(scope, replay_body(bytes(body), receive), send)


def over_limit(limit: int) -> RequestError:
    """413 for a body."""
    return too_large(f"the body is larger than {limit} bytes; send fewer rows at once")


def is_csv_request(scope: Scope) -> bool:
    """Whether a request brings a table as CSV, which is streamed."""
    if scope["path"] != "/predict/rows":
        return False
    kind = header_of(scope, b"content-type").partition(";")[0].strip().lower()
    return kind in ("text/csv", "text/tab-separated-values")


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A body that was read before, and then whatever else comes."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class Admission:
    """Lets so many requests in at once; the next one is told when to come again.

    Args:
        app: what computes.
        most: requests at once.
        estimate: seconds until one of them is done.
        on_change: is told how many there are.
        free: paths that are always let in.
    """

    def __init__(
        self,
        app: ASGIApp,
        most: int,
        *,
        estimate: Callable[[], float],
        on_change: Callable[[float], Any],
        free: Collection[str],
    ) -> None:
        self._app, self._most, self._free = app, most, frozenset(free)
        self._estimate, self._on_change = estimate, on_change
        self._num_inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] in self._free:
            await self._app(scope, receive, send)
            return
        if self._num_inside >= self._most:
            seconds = max(1, math.ceil(self._estimate()))
            message = f"{self._most} requests are being answered already; ask again in {seconds} s"
            await send_error(
                send, RequestError("Overloaded", message, {"Retry-After": str(seconds)})
            )
            return
        self._num_inside += 1
        self._on_change(self._num_inside)
        try:
            await self._app(scope, receive, send)
        finally:
            self._num_inside -= 1
            self._on_change(self._num_inside)
