"""DirectRoutes: the routes that are asked most, answered without the framework's way through its router."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from bert_playground.serving.request_error import RequestError
from bert_playground.serving.security import header_of, replay_body, send_error

# A body and the request's state → what is answered as JSON.
Handler = Callable[[bytes, dict[str, Any]], Awaitable[Any]]


class PassOnError(Exception):
    """A handler leaves a request to the framework's route, such as one whose faults that one names."""


class DirectRoutes:
    """Answers JSON documents that are sent to some paths; FastAPI takes 0.3 ms and more for what it does around a route.

    Every path has its route in the framework too, which the OpenAPI document describes, and which gets all other requests.

    Args:
        app: the framework.
        handlers: by path.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[str, Handler]) -> None:
        self._app, self._handlers = app, handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        handler = self._handlers.get(scope.get("path", ""))
        if handler is None or not _is_plain(scope):
            await self._app(scope, receive, send)
            return
        message = await receive()  # the whole body, as `BodyLimit` gives it
        body, state = message.get("body", b""), scope["state"]
        state["route"] = scope["path"]
        try:
            content = to_json(await handler(body, state))
        except PassOnError:
            await self._app(scope, replay_body(body, receive), send)
            return
        except RequestError as error:
            await send_error(send, error)
            return
        headers = [
            (b"content-length", str(len(content)).encode()),
            (b"content-type", b"application/json"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _is_plain(scope: Scope) -> bool:
    """Whether a request is a JSON document without options in its address."""
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and not scope["query_string"]
        and header_of(scope, b"content-type").startswith("application/json")
    )
