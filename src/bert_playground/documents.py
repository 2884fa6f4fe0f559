"""read_json, check: the one door for documents that others may have written: bounded in size, depth and numbers, then checked by a schema; readable_study: for those that Optuna reads."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

MAX_BYTES = 64 * 2**20  # the profiles of 3,000 columns take 20 MB
MAX_DEPTH = 32  # ours have 5
MAX_FAULTS = 8  # named in one message
SHORT, LARGEST = 18, 2**63  # digits of a whole number that surely has 64 bits; what has more
AGAIN = "correct it, or copy or download it again"


class Document(BaseModel):
    """A JSON object with known types: what it lacks has a default, what is not known is ignored; "2" is no number."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Measured(Document):
    """The same of what a run measured, which may be NaN or infinite."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=True)


def read_json(path: Path, kind: type = dict) -> Any:
    """Read a JSON object, or a list where `kind` is list.

    Args:
        path: of the file.
        kind: dict or list.

    Raises:
        ValueError: the file holds something else, is larger than `MAX_BYTES`, or nested more than `MAX_DEPTH` deep.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(
            f"{path} has {size:,} bytes, expected at most {MAX_BYTES:,} of such a file; {AGAIN}"
        )
    return parse_json(path.read_bytes(), path, kind)


@contextmanager
def readable_study(what: str) -> Iterator[None]:
    """Say of errors of Optuna that what it reads is damaged: it fails wherever it trips, by assertions too.

    Raises:
        ValueError: in place of any error but those of the disk.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{what} cannot be read as a study ({type(error).__name__}: {first}); if it is damaged, start anew with another "
            "--output"
        ) from error


def parse_json(text: bytes | str, where: Path | str, kind: type = dict) -> Any:
    """The same of text that was read already; `where` it stood is for messages."""
    try:
        values = json.loads(text, parse_int=_read_number)
    except RecursionError as error:
        raise ValueError(
            f"{where} is nested more than {MAX_DEPTH} deep, which no such file is; {AGAIN}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{where} is not valid JSON ({error}); copy or download it again"
        ) from error
    if not isinstance(values, kind):
        expected = "object" if kind is dict else kind.__name__
        raise ValueError(f"{where} holds a {type(values).__name__}, expected a JSON {expected}")
    check_depth(values, where)
    return values


def _read_number(digits: str) -> int | float:
    """A whole number; one of more than 64 bits, which no setting is, as a float."""
    if len(digits) <= SHORT:
        return int(digits)
    number = float(digits)
    return number if abs(number) >= LARGEST else int(digits)


def check_depth(values: Any, where: Path | str) -> None:
    """Refuse values that are nested too deep.

    Raises:
        ValueError: they are.
    """
    level = [values] if isinstance(values, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(
        f"{where} is nested more than {MAX_DEPTH} deep, which no such file is; {AGAIN}"
    )


def check(schema: type[BaseModel], values: Mapping[str, Any], where: Path | str) -> None:
    """Refuse values of wrong types, all at once, with key, what came and what was expected.

    Args:
        schema: a Document, or what `schema_of` makes of a dataclass.
        values: parsed JSON.
        where: the file, and the section in it, for the message.

    Raises:
        ValueError: some values do not fit.
    """
    try:
        # As JSON, so that a list is a tuple and 1 a float, but "1" is no number; the profiles of wide tables are spelled once.
        known = {name: values[name] for name in schema.model_fields if name in values}
        schema.model_validate_json(json.dumps(known))
    except RecursionError as error:
        raise ValueError(f"{where} is nested too deep; {AGAIN}") from error
    except ValidationError as error:
        faults = [_say_fault(fault) for fault in error.errors(include_url=False)]
        more = f"; … ({len(faults)} in all)" if len(faults) > MAX_FAULTS else ""
        raise ValueError(f"{where}: {'; '.join(faults[:MAX_FAULTS])}{more}; {AGAIN}") from error


def _say_fault(fault: Any) -> str:
    place = [
        str(word) for word in fault["loc"] if not str(word).startswith(("function-", "tagged-"))
    ]
    key = ".".join(place) or "the document"
    if fault["type"] == "missing":
        return f"{key} is missing"
    expected = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{key} is {_show(fault['input'])}, expected {expected}"


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a giant number"
    return text if len(text) <= 60 else f"{text[:57]}…"


@lru_cache(maxsize=64)
def schema_of(
    kind: type, *, needed: tuple[str, ...] = (), nullable: bool = True, finite: bool = True
) -> Any:
    """The types of a dataclass's fields as a Document.

    Args:
        kind: a dataclass.
        needed: fields that a document must have.
        nullable: whether null, which says nothing, may stand for every other field.
        finite: refuse NaN and infinities.
    """
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    types: dict[str, Any] = {
        field.name: hints[field.name]
        if field.name in needed or not nullable
        else hints[field.name] | None
        for field in fields(kind)
    }
    return make_document(
        kind.__name__,
        {name: (hint, ... if name in needed else None) for name, hint in types.items()},
        Document if finite else Measured,
    )


def make_document(
    name: str, types: Mapping[str, Any], base: type[Document] = Document
) -> type[BaseModel]:
    """A Document whose fields are known at run time alone.

    Args:
        name: of what it describes.
        types: for each field its type and its default, `...` where it must be there.
        base: Document or Measured.
    """
    return create_model(f"{name}Document", __base__=base, **dict(types))


def list_of(schema: Any) -> Any:
    """The type of a list of such documents."""
    return list[schema]
