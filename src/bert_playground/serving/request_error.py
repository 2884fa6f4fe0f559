"""RequestError: a request that is answered with an error, in the shape of text-embeddings-inference."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Error type of text-embeddings-inference → HTTP status.
STATUS = {
    "Empty": 400,
    "Unauthorized": 401,
    "NotFound": 404,
    "Validation": 413,
    "Tokenizer": 422,
    "Backend": 424,
    "Overloaded": 429,
    "Unhealthy": 503,
    "Timeout": 504,
}

FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/'\",;:]+/)+")  # of an absolute path


@dataclass
class RequestError(Exception):
    """Why a request gets no answer.

    Attributes:
        error_type: a name in STATUS.
        message: says what came, what was expected and what to do; nothing about this machine.
        headers: to send with it.
        status: overrides that of the type.
    """

    error_type: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self.status or STATUS[self.error_type]

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        return {"error": self.message, "error_type": self.error_type}


def bad_input(message: str) -> RequestError:
    """422: the request can be read, but what it asks for cannot be answered."""
    return RequestError("Tokenizer", message)


def too_large(message: str) -> RequestError:
    """413."""
    return RequestError("Validation", message)


def not_supported(message: str) -> RequestError:
    """424: the model that is served cannot answer such a question."""
    return RequestError("Backend", message)


def hide_paths(message: str, *known: Path) -> str:
    """A message of ours without folders of this machine: of a path its last part stays.

    Args:
        message: such as of a ValueError.
        known: folders that it may name, for those with blanks in their names.
    """
    for folder in sorted(known, key=lambda path: -len(str(path))):
        message = message.replace(f"{folder}/", "")
    return FOLDERS.sub("", message)
