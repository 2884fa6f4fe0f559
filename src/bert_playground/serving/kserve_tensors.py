"""Tensors of KServe v2: JSON, and bytes behind it as the binary tensor data extension says."""

import json
import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from bert_playground.lookup import nearest
from bert_playground.serving.json_rows import SpelledNumber, parse_json
from bert_playground.serving.request_error import bad_input

HEADER_LENGTH = "inference-header-content-length"
DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
KNOWN = (*DTYPES, "BYTES")


class Tensor(NamedTuple):
    """A named tensor.

    Attributes:
        name: of a column.
        shape: [R], [R, 1] or [R, K].
        datatype: a name in DTYPES, or BYTES for text.
        data: the values in one list, row by row; numbers of a request as they are spelled.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferRequest(NamedTuple):
    """What a client asks.

    Attributes:
        id: given back.
        inputs: the tensors.
        outputs: name → whether it is wanted as bytes; None: all that there are.
        is_binary: whether outputs that are not named are wanted as bytes.
    """

    id: str | None
    inputs: list[Tensor]
    outputs: dict[str, bool] | None
    is_binary: bool


def read_infer_request(body: bytes, header_length: str | None) -> InferRequest:
    """The tensors of a request.

    Args:
        body: JSON, with bytes behind it where `header_length` says so.
        header_length: of the JSON.

    Raises:
        RequestError: says which tensor is wrong, and how.
    """
    rest = b""
    if header_length is not None:
        if not header_length.isdigit() or not 0 < int(header_length[:12]) <= len(body):
            raise bad_input(
                f"the header {HEADER_LENGTH} is no length of the JSON in a body of {len(body)} bytes"
            )
        body, rest = body[: int(header_length)], body[int(header_length) :]
    document = parse_json(body, spelled=True)
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise bad_input('expected {"inputs": [{"name", "shape", "datatype", "data"}, ...]}')
    inputs = []
    for described in document["inputs"]:
        tensor, rest = _read_tensor(described, rest)
        inputs.append(tensor)
    if not inputs:
        raise bad_input('"inputs" is empty; give a tensor for each column')
    if rest:
        raise bad_input(f"{len(rest)} bytes are left behind the last tensor")
    identifier = document.get("id")
    parameters = _record(document.get("parameters"), "parameters")
    return InferRequest(
        identifier if is_word(identifier) else None,
        inputs,
        _read_outputs(document.get("outputs")),
        parameters.get("binary_data_output") is True,
    )


def is_word(value: Any) -> TypeGuard[str]:
    """Whether a value of a document is text, and no number as it is spelled."""
    return isinstance(value, str) and not isinstance(value, SpelledNumber)


def _record(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_input(f"{name!r} is no record")
    return value


def _read_outputs(described: Any) -> dict[str, bool] | None:
    if not described:
        return None
    if not isinstance(described, list):
        raise bad_input('"outputs" is no list of records with a name')
    outputs = {}
    for each in described:
        name = _record(each, "outputs").get("name")
        if not is_word(name):
            raise bad_input('an entry of "outputs" has no name')
        parameters = _record(each.get("parameters"), "parameters")
        outputs[name] = parameters.get("binary_data") is True
    return outputs


def _read_tensor(described: Any, rest: bytes) -> tuple[Tensor, bytes]:
    values = _record(described, "inputs")
    name, datatype, shape = values.get("name"), values.get("datatype"), values.get("shape")
    if not is_word(name):
        raise bad_input("an input has no name")
    if not is_word(datatype) or datatype not in KNOWN:
        raise bad_input(
            f"the input {name!a} has datatype {str(datatype)!a}{nearest(str(datatype), KNOWN)} (known: {', '.join(KNOWN)})"
        )
    sizes = _read_shape(name, shape)
    count = math.prod(sizes)
    parameters = _record(values.get("parameters"), "parameters")
    size = parameters.get("binary_data_size")
    if size is not None:
        if not str(size).isdigit() or int(str(size)[:12]) > len(rest):
            raise bad_input(
                f"the input {name!a} has binary_data_size {size!s:.20}, but {len(rest)} bytes are left"
            )
        data = _unpack(name, datatype, rest[: int(size)])
        rest = rest[int(size) :]
    else:
        data = _flatten(values.get("data"), name)
    if len(data) != count:
        raise bad_input(
            f"the input {name!a} has {len(data)} values, but its shape {sizes} has {count}"
        )
    return Tensor(name, sizes, datatype, data), rest


def _read_shape(name: str, shape: Any) -> list[int]:
    is_shape = isinstance(shape, list) and all(
        isinstance(size, SpelledNumber) and size.isdigit() and len(size) < 10 for size in shape
    )
    sizes = [int(size) for size in shape] if is_shape else []
    if len(sizes) not in (1, 2) or math.prod(sizes[1:]) != 1:
        raise bad_input(f"the input {name!a} has no shape [rows] or [rows, 1], as a column has")
    return sizes


def _flatten(data: Any, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise bad_input(f'the input {name!a} has no list of values in "data"')
    if all(isinstance(each, list) and len(each) == 1 for each in data):
        return [each[0] for each in data]
    return data


def _unpack(name: str, datatype: str, content: bytes) -> list[Any]:
    """Values of bytes: numbers little-endian, a text behind its length in four bytes."""
    if datatype != "BYTES":
        dtype = np.dtype(DTYPES[datatype])
        if len(content) % dtype.itemsize:
            raise bad_input(
                f"the input {name!a} has {len(content)} bytes, no whole number of {datatype}"
            )
        # Numbers are spelled as a CSV would have them, each in the digits that its own type has.
        values = np.frombuffer(content, dtype)
        if datatype == "BOOL":
            return [bool(value) for value in values]
        return [None if value != value else SpelledNumber(str(value)) for value in values]
    values_of, place = [], 0
    while place < len(content):
        if place + 4 > len(content):
            raise bad_input(f"the input {name!a} ends within the length of a text")
        (length,) = struct.unpack_from("<I", content, place)
        text = content[place + 4 : place + 4 + length]
        if len(text) < length:
            raise bad_input(f"the input {name!a} ends within a text")
        try:
            values_of.append(text.decode())
        except UnicodeDecodeError as error:
            raise bad_input(f"the input {name!a} has a text that is no UTF-8") from error
        place += 4 + length
    return values_of


def write_infer_answer(
    model: str, asked: InferRequest, outputs: Sequence[Tensor]
) -> tuple[dict[str, Any], tuple[bytes, int] | None]:
    """The JSON of an answer; and, where bytes are wanted, all of it with the length of the JSON in it.

    Raises:
        RequestError: an output is wanted that there is not.
    """
    known = {tensor.name: tensor for tensor in outputs}
    wanted = asked.outputs or dict.fromkeys(known, asked.is_binary)
    for name in wanted:
        if name not in known:
            raise bad_input(
                f"no output {name!a}{nearest(name, known)} (there are: {', '.join(known)})"
            )
    described: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for name, is_binary in wanted.items():
        tensor = known[name]
        entry: dict[str, Any] = {
            "name": name,
            "shape": tensor.shape,
            "datatype": tensor.datatype,
        }
        if is_binary:
            behind.append(_pack(tensor))
            entry["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            entry["data"] = [_clean(value) for value in tensor.data]
        described.append(entry)
    document = {"model_name": model, "model_version": "1", "outputs": described}
    if asked.id is not None:
        document["id"] = asked.id
    if not behind:
        return document, None
    head = json.dumps(document).encode()
    return document, (b"".join([head, *behind]), len(head))


def _clean(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _pack(tensor: Tensor) -> bytes:
    if tensor.datatype != "BYTES":
        return np.array(tensor.data, DTYPES[tensor.datatype]).tobytes()
    texts = [str(value).encode() for value in tensor.data]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
