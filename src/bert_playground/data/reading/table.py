"""Tables of any format (CSV, TSV, Parquet, Arrow, JSON Lines; compressed; several files; frames) as text."""

import codecs
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from bert_playground.data.reading.csv_text import name_nameless, parse_csv
from bert_playground.data.reading.decompress import decompress, is_compressed
from bert_playground.data.reading.file_signatures import refuse_other_formats
from bert_playground.data.reading.footer import doubt_footer
from bert_playground.data.reading.header import doubt_header
from bert_playground.forks import claim_process
from bert_playground.lookup import name_neighbours, nearest, shorten

Files = str | Path | Sequence[str | Path]


def read_table(source: Files | pl.DataFrame | Any) -> pl.DataFrame:
    """Read a table; every cell becomes the text that a CSV would have, an empty cell null.

    Args:
        source: a file, a pattern such as "data/part-*.csv", a list of files (rows below each other), or a Polars or
            pandas frame. The format follows from the name: .parquet, .arrow, .feather, .jsonl, .ndjson, .json, and
            CSV for every other; .gz, .bz2, .xz, .zst and .zip are decompressed.

    Returns:
        All columns as strings. Records inside a cell become columns "a.b", lists "first|second".

    Raises:
        FileNotFoundError: there is no such file; the message has the nearest name in the folder.
        ValueError: a file is damaged or has no rows, or files have different columns.
    """
    if _is_frame(source):
        return _require_rows(as_text(_name_all(_to_polars(source))), "the frame")
    _require_files(source)
    paths = expand_paths(cast("Files", source))
    frames = [read_file(path) for path in paths]
    if len(frames) == 1:
        return frames[0]
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        if set(frame.columns) != set(frames[0].columns):
            differing = sorted(set(frame.columns) ^ set(frames[0].columns))
            raise ValueError(
                f"{path} and {paths[0]} have different columns: {shorten(differing)}; files that are read as one table "
                "must have the same"
            )
    return pl.concat([frame.select(frames[0].columns) for frame in frames])


def expand_paths(source: Files) -> list[Path]:
    """The files that a path, a pattern or a list of both names, patterns in sorted order.

    Raises:
        FileNotFoundError: one is not there, or a pattern matches nothing.
    """
    if not isinstance(source, str | Path):
        return [path for entry in source for path in expand_paths(entry)]
    path = Path(source)
    if path.exists() or not any(letter in str(path) for letter in "*?["):
        return [path]
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not found:
        raise FileNotFoundError(f"no file matches {path}{name_neighbours(path)}; check the pattern")
    return found


def read_file(path: Path) -> pl.DataFrame:
    """Read one file; see `read_table`."""
    claim_process()
    name, content = _decompress(path, _read_bytes(path))
    suffix = Path(name).suffix.lower()
    parse = PARSERS.get(suffix)
    if parse is None:
        refuse_other_formats(path, content)
        frame = parse_csv(path, content)
        doubt_header(path, frame.columns, frame)
        doubt_footer(path, frame)
        return _require_rows(frame, str(path))
    try:
        frame = parse(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(
            f"{path} cannot be read as {suffix.removeprefix('.')}: {first_line}; export it again"
        ) from error
    return _require_rows(as_text(_name_all(frame)), str(path))


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Cells of any type as the text a CSV would have: 22.0 in a column of whole floats becomes "22", true "True"."""
    frame = unnest_records(frame)
    if all(kind == pl.String for kind in frame.dtypes):
        return frame
    return frame.select(_as_text(column) for column in frame.iter_columns())


def own_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, all text, in buffers of their own.

    Rows that Polars takes from a longer table keep the text of all its rows alive.
    """
    return frame.select(pl.all() + "")


def unnest_records(frame: pl.DataFrame) -> pl.DataFrame:
    """Records inside cells as columns "a.b".

    Raises:
        ValueError: such a column is there already.
    """
    while records := {
        name: kind for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)
    }:
        inner = [f"{name}.{field.name}" for name, kind in records.items() for field in kind.fields]
        names = [name for name in frame.columns if name not in records] + inner
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(
                f"{shorten(twice)} would be the name of several columns, as fields of records are named so; "
                "rename the columns or the fields"
            )
        frame = frame.unnest(*records, separator=".")
    return frame


def require_columns(frame: pl.DataFrame, names: list[str], where: str) -> None:
    """Check that the columns are there.

    Raises:
        ValueError: some are missing; all of them are listed, each with the nearest name that is there.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        listed = ", ".join(f"{name!r}{nearest(name, frame.columns)}" for name in missing)
        raise ValueError(
            f"{where} lacks {len(missing)} column(s): {listed} "
            f"(it has: {shorten(frame.columns)}); add them or rename the ones meant"
        )


def match_column(name: str, columns: Sequence[str]) -> str:
    """The column that a name means: itself, else the only one that differs in surrounding blanks or quotes; else the name."""
    if name in columns:
        return name
    for bare in (name.strip(), name.strip().strip("\"'`").strip()):
        found = [column for column in columns if column.strip() == bare]
        if bare and len(found) == 1:
            return found[0]
    return name.strip() or name


def _is_frame(source: Any) -> bool:
    is_pandas = type(source).__module__.partition(".")[0] == "pandas"
    return isinstance(source, pl.DataFrame | pl.LazyFrame) or (
        is_pandas and type(source).__name__ == "DataFrame"
    )


def _require_files(source: Any) -> None:
    if isinstance(source, str | Path) or (isinstance(source, list | tuple) and source):
        return
    what = "list without entries" if isinstance(source, list | tuple) else type(source).__name__
    raise ValueError(
        f"a table is a {what}, expected a file, a pattern, a list of files, or a Polars or pandas DataFrame"
    )


def _to_polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    names = [str(name) for name in frame.columns]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"the frame has duplicate column names: {', '.join(map(repr, repeated))}; give each column its own name"
        )
    missing = frame.isna()
    return pl.DataFrame(
        {
            str(name): list(
                map(list_items, frame[name].astype(object).mask(missing[name], None).tolist())
            )
            for name in frame.columns
        },
        strict=False,
    )


def list_items(value: Any) -> Any:
    """A set as the list of its items, in order; they are words, not numbers of columns. Everything else as it is."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else value


def _name_all(frame: pl.DataFrame) -> pl.DataFrame:
    names = dict(zip(frame.columns, name_nameless(frame.columns), strict=True))
    return frame.rename(names) if "" in names else frame


def _require_rows(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    if frame.width == 0 and frame.height:
        raise ValueError(f'{where} has no columns; expected records such as {{"age": 22}}')
    if frame.height == 0:
        raise ValueError(f"{where} has a header but no rows; expected at least one row of data")
    return frame


def _read_lines(content: io.BytesIO) -> pl.DataFrame:
    text = content.getvalue().removeprefix(codecs.BOM_UTF8)
    try:
        return pl.read_ndjson(io.BytesIO(text), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise ValueError(name_bad_line(text) or str(error)) from error


def name_bad_line(text: bytes, first: int = 1) -> str | None:
    """Which line of JSON Lines is no record, and how it begins; None: all are."""
    for number, line in enumerate(text.split(b"\n"), first):
        try:
            is_record = not line.strip() or isinstance(json.loads(line), dict)
        except ValueError:
            is_record = False
        if not is_record:
            return f'line {number} is no JSON record such as {{"age": 22}}: {line[:60].decode(errors="replace")!r}'
    return None


def _read_json(content: io.BytesIO) -> pl.DataFrame:
    text = content.getvalue().removeprefix(codecs.BOM_UTF8)
    if text.lstrip().startswith(b"["):
        return pl.read_json(io.BytesIO(text), infer_schema_length=None)
    try:
        whole = json.loads(text)
    except ValueError:  # several records: lines
        return _read_lines(io.BytesIO(text))
    is_record = isinstance(whole, dict) and len(whole) > 0
    if is_record and all(isinstance(value, list | dict) for value in whole.values()):
        raise ValueError(
            "it holds columns, one after the other, not rows; write records, such as pandas' "
            "to_json(orient='records', lines=True)"
        )
    return _read_lines(io.BytesIO(json.dumps(whole).encode()))


def _read_arrow(content: io.BytesIO) -> pl.DataFrame:
    """An Arrow file, or a stream of batches, which begins otherwise."""
    is_file = content.getvalue().startswith(b"ARROW1")
    return pl.read_ipc(content) if is_file else pl.read_ipc_stream(content)


PARSERS: dict[str, Callable[[io.BytesIO], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".pq": pl.read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".ipc": _read_arrow,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
}


def _decompress(path: Path, content: bytes) -> tuple[str, bytes]:
    """The name without the compression's suffix, and the bytes inside."""
    if not is_compressed(path):
        return path.name, content
    decompressed = decompress(path, content)
    if not decompressed.strip():
        raise ValueError(f"{path} is empty inside; expected a table with rows")
    return path.stem, decompressed


def _as_text(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind == pl.String:
        return column
    if kind == pl.Boolean:
        return column.replace_strict([True, False], ["True", "False"], return_dtype=pl.String)
    if isinstance(kind, pl.List | pl.Array):
        try:
            return column.to_frame().select(_join_items(pl.col(column.name), kind)).to_series()
        except pl.exceptions.PolarsError as error:
            raise ValueError(
                f"column {column.name!r} holds {kind}, which has no form as text; leave it out or write it flat"
            ) from error
    if kind in (pl.Binary, pl.Object):
        what = "bytes" if kind == pl.Binary else "Python objects"
        raise ValueError(f"column {column.name!r} holds {what}, no text; leave it out or decode it")
    if kind == pl.Duration:  # in seconds
        return _as_text(column.dt.total_microseconds() / 1e6)
    if isinstance(kind, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d %H:%M:%S")
    if kind.is_float():
        column = column.fill_nan(None)
        whole = (column.round() == column) & (column.abs() < 2**53)
        if bool(whole.all()):
            column = column.cast(pl.Int64)
    return column.cast(pl.String)


def _join_items(value: pl.Expr, kind: Any) -> pl.Expr:
    """Lists as "first|second", those inside lists likewise; records inside lists as JSON."""
    if isinstance(kind, pl.List | pl.Array):
        lists = value.arr.to_list() if isinstance(kind, pl.Array) else value
        return lists.list.eval(_join_items(pl.element(), kind.inner)).list.join("|")
    if isinstance(kind, pl.Struct):
        return value.struct.json_encode()
    return value.cast(pl.String)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a CSV file such as {path / 'train.csv'}")
    if not path.exists():
        siblings = (
            [entry.name for entry in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        )
        there = f" (CSV files there: {', '.join(sorted(siblings))})" if siblings else ""
        hint = f"{nearest(path.name, siblings)}{there}" if siblings else name_neighbours(path)
        raise FileNotFoundError(f"no file {path}{hint}; check the path")
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"{path} is empty; expected a CSV with a header line and rows")
    return content
