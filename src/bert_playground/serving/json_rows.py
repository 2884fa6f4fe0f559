"""read_rows: JSON records as the table that a CSV of the same values would be."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from bert_playground.lookup import nearest, shorten
from bert_playground.serving.request_error import RequestError, bad_input, too_large

MAX_NAMED = 5  # faults of one request that are listed
OPTIONS = ("rows", "model", "explain", "drift")


class SpelledNumber(str):
    """A number of a JSON document as it is written there: 22.0 stays 22.0, as it would in a CSV."""

    __slots__ = ()


PLAIN_KINDS = {str, SpelledNumber, type(None)}


class RowRequest(NamedTuple):
    """What a client asks about rows.

    Attributes:
        rows: records.
        model: a name of those that are served; None: the first.
        explain: whether to say which columns drove each answer.
        drift: whether to say how the rows differ from training.
    """

    rows: list[dict[str, Any]]
    model: str | None = None
    explain: bool = False
    drift: bool = True


def parse_json(body: bytes, *, spelled: bool = False) -> Any:
    """The document in a body.

    Args:
        body: UTF-8.
        spelled: whether numbers stay as they are written, see `SpelledNumber`.

    Raises:
        RequestError: it is no JSON, or names a key twice.
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        return (_SPELLED if spelled else _READ).decode(text)
    except UnicodeDecodeError as error:
        raise bad_input(f"the body is no UTF-8 text: byte {error.start} cannot be read") from error
    except json.JSONDecodeError as error:
        raise bad_input(
            f"the body is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise bad_input("the body is nested too deeply to be read") from error
    except ValueError as error:  # of a number with thousands of digits
        raise bad_input(f"the body cannot be read: {error}") from error


def parse_row_request(body: bytes, max_rows: int) -> RowRequest:
    """Rows and options: {"rows": [{"Age": 22, ...}, ...], "model": "name"}, or the list of rows alone.

    Raises:
        RequestError: not of that form, no rows, or more than `max_rows`.
    """
    document = parse_json(body, spelled=True)
    if isinstance(document, list):
        document = {"rows": document}
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        hint = ""
        if isinstance(document, dict) and "rows" not in document:
            hint = f'; it has {shorten(map(repr, document))} where "rows" was expected'
        raise bad_input(f'expected {{"rows": [{{"column": value, ...}}, ...]}}{hint}')
    unknown = [name for name in document if name not in OPTIONS]
    if unknown:
        raise bad_input(
            f"unknown option {unknown[0]!a}{nearest(unknown[0], OPTIONS)} (known: {', '.join(OPTIONS)})"
        )
    _check_rows(document["rows"], max_rows)
    model = document.get("model")
    if not isinstance(model, str | None) or isinstance(model, SpelledNumber):
        raise bad_input(f'"model" is {_name_kind(model)}, expected a name')
    for name in ("explain", "drift"):
        if not isinstance(document.get(name), bool | None):
            raise bad_input(f"{name!r} is {_name_kind(document[name])}, expected true or false")
    explain, drift = document.get("explain"), document.get("drift")
    return RowRequest(document["rows"], model, bool(explain), drift is not False)


def _check_rows(rows: list[Any], max_rows: int) -> None:
    if not rows:
        raise RequestError("Empty", '"rows" is empty; give at least one record')
    if len(rows) > max_rows:
        raise too_large(
            f"{len(rows)} rows, but at most {max_rows} are answered at once; send them as CSV (Content-Type: text/csv), which "
            "is streamed, or in several requests"
        )
    strange = [place for place, row in enumerate(rows, 1) if not isinstance(row, dict) or not row]
    if strange:
        raise bad_input(
            f'row {strange[0]} is {_name_kind(rows[strange[0] - 1])}, expected a record such as {{"Age": 22}}'
        )


Cells = dict[str, list[str | None]]


def to_frame(rows: Sequence[dict[str, Any]], needed: Sequence[str]) -> pl.DataFrame:
    """Records as a table of text; see `read_cells`."""
    return frame_of_cells(read_cells(rows, needed))


def frame_of_cells(cells: Cells) -> pl.DataFrame:
    """The table that these columns are."""
    return pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))


def read_cells(rows: Sequence[dict[str, Any]], needed: Sequence[str]) -> Cells:
    """Records as columns of text.

    null is a missing value; numbers are spelled as in the document; true is "True"; a record inside a cell becomes columns
    "a.b", a list "first|second".

    Args:
        rows: records, from `parse_json` with `spelled`.
        needed: columns that every row must have.

    Raises:
        RequestError: rows lack columns; says which, with the nearest names.
    """
    plain = _read_plain(rows)
    if plain is not None and plain.keys() >= set(needed):
        return plain
    flat = _flatten_all(rows)
    names = list(dict.fromkeys(name for row in flat for name in row))
    absent = [name for name in needed if name not in names]
    if absent:
        listed = ", ".join(f"{name!r}{nearest(name, names)}" for name in absent)
        raise bad_input(
            f"the rows lack {len(absent)} column(s): {listed} (they have: {shorten(names)}); add them, or rename the ones meant"
        )
    faults = [
        f"row {place} lacks {name!r}{nearest(name, [key for key in row if key not in needed])}"
        for place, row in enumerate(flat, 1)
        for name in needed
        if name not in row
    ]
    if faults:
        raise bad_input(
            f"{shorten(faults, MAX_NAMED)}; write null where a value is missing, as every row needs every column that is read"
        )
    return {name: [row.get(name) for row in flat] for name in names}


def _read_plain(rows: Sequence[dict[str, Any]]) -> Cells | None:
    """The columns of rows that have the same ones, all of text, numbers and nulls, in a third of the time; None: of others."""
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        return None
    columns: Cells = {}
    for name in names:
        cells = [row[name] for row in rows]
        kinds = set(map(type, cells))
        if not kinds <= PLAIN_KINDS or not _is_text("".join([name, *filter(None, cells)])):
            return None
        is_number = SpelledNumber in kinds
        columns[name] = [(str(cell) if is_number else cell) if cell else None for cell in cells]
    return columns


def _flatten_all(rows: Sequence[dict[str, Any]]) -> list[dict[str, str | None]]:
    try:
        flat = [_flatten(row) for row in rows]
        for place, row in enumerate(flat, 1):
            for name, cell in row.items():
                if not _is_text(name) or not _is_text(cell or ""):
                    raise bad_input(
                        f"row {place}, column {name!a}: half of a UTF-16 pair is no text"
                    )
    except RecursionError as error:
        raise bad_input("a row is nested too deeply to be read") from error
    return flat


def _is_text(word: str) -> bool:
    if word.isascii():
        return True
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _flatten(row: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = spell(value)
    return flat


def spell(value: Any) -> str | None:
    """A JSON value as the cell of a CSV; None: an empty one."""
    if value is None or value == "" or value == {}:
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "|".join(item for item in map(spell, value) if item is not None) or None
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, count = Counter(name for name, _ in pairs).most_common(1)[0]
        raise bad_input(f"a record names {name!r} {count} times; give each column once")
    return found


def _constant(name: str) -> Any:
    """NaN, which Python writes for a missing value; infinities are text as in a CSV of pandas."""
    return None if name == "NaN" else SpelledNumber(name.replace("Infinity", "inf"))


_READ = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
_SPELLED = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_constant,
    parse_int=SpelledNumber,
    parse_float=SpelledNumber,
)


def _name_kind(value: Any) -> str:
    if isinstance(value, SpelledNumber):
        return "a number"
    names = {dict: "a record", list: "a list", str: "text", bool: "true or false"}
    if value == {}:
        return "a record without columns"
    return "null" if value is None else names.get(type(value), "a number")
