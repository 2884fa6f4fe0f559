"""What the OpenAPI document says of /predict/rows, whose bodies are read by ourselves so that numbers stay as written."""

from collections.abc import Mapping, Sequence
from typing import Any

CELL: dict[str, Any] = {
    "description": "null is a missing value; a list is the cell first|second",
    "anyOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}},
    ],
}


def describe_rows(columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The request body of /predict/rows.

    Args:
        columns: that every row needs, with examples, as `ServedModel.describe_columns` gives them.
    """
    example = {each["name"]: each["example"] for each in columns}
    row = {
        "type": "object",
        "minProperties": 1,
        "required": list(example),
        "properties": dict.fromkeys(example, CELL),
        "additionalProperties": CELL,
    }
    flag = {"type": ["boolean", "null"]}
    document = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "items": row},
            "model": {"type": ["string", "null"], "description": "which of several models"},
            "explain": {**flag, "description": "which columns drove each answer"},
            "drift": {**flag, "description": "how the rows differ from training; on by default"},
        },
        "example": {"rows": [example]},
    }
    kinds = {"application/json": {"schema": document}, "text/csv": {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": kinds}}


ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
ERRORS = {
    400: "nothing was asked",
    401: "the API key is missing or wrong",
    404: "no such model",
    413: "too much at once",
    422: "the input cannot be read; says which row and column",
    424: "the model cannot answer this",
    429: "overloaded; see Retry-After",
    503: "not ready, or shutting down",
    504: "no answer in time",
}
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": ERROR}}}
    for status, text in ERRORS.items()
}
ROWS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the answers; of a CSV the submission",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    },
    **ERROR_RESPONSES,
}
