"""Tables of any format (CSV, TSV, Parquet, Arrow, JSON Lines; compressed; several files; frames) as text."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl
import zstandard

from bert_playground.data.core.csv_file import parse_csv
from bert_playground.lookup import nearest, shorten

Files = str | Path | Sequence[str | Path]


def read_table(source: Files | pl.DataFrame | Any) -> pl.DataFrame:
    """Read a table; every cell becomes the text that a CSV would have, an empty cell null.

    Args:
        source: a file, a pattern such as "data/part-*.csv", a list of files (rows below each other), or a Polars or
            pandas frame. The format follows from the name: .parquet, .arrow, .feather, .jsonl, .ndjson, .json, and
            CSV for every other; .gz, .bz2, .xz, .zst and .zip are unpacked.

    Returns:
        All columns as strings. Records inside a cell become columns "a.b", lists "first|second".

    Raises:
        FileNotFoundError: there is no such file; the message has the nearest name in the folder.
        ValueError: a file is damaged or has no rows, or files have different columns.
    """
    if _is_frame(source):
        return _require_rows(as_text(_to_polars(source)), "the frame")
    paths = expand_paths(cast("Files", source))
    frames = [read_file(path) for path in paths]
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
        raise FileNotFoundError(f"no file matches {path}; check the pattern")
    return found


def read_file(path: Path) -> pl.DataFrame:
    """Read one file; see `read_table`."""
    name, content = _unpack(path, _read_bytes(path))
    suffix = Path(name).suffix.lower()
    parse = PARSERS.get(suffix)
    if parse is None:
        return _require_rows(parse_csv(path, content), str(path))
    try:
        frame = parse(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(
            f"{path} cannot be read as {suffix.removeprefix('.')}: {first_line}; export it again"
        ) from error
    return _require_rows(as_text(frame), str(path))


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Cells of any type as the text a CSV would have: 22.0 in a column of whole floats becomes "22", true "True"."""
    frame = unnest_records(frame)
    return frame.select(_as_text(column) for column in frame.iter_columns())


def unnest_records(frame: pl.DataFrame) -> pl.DataFrame:
    """Records inside cells as columns "a.b"."""
    while records := [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]:
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


def _is_frame(source: Any) -> bool:
    return isinstance(source, pl.DataFrame) or type(source).__module__.partition(".")[0] == "pandas"


def _to_polars(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        return frame
    missing = frame.isna()
    return pl.DataFrame(
        {
            str(name): frame[name].astype(object).mask(missing[name], None).tolist()
            for name in frame.columns
        },
        strict=False,
    )


def _require_rows(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    if frame.height == 0:
        raise ValueError(f"{where} has a header but no rows; expected at least one row of data")
    return frame


def _read_lines(content: io.BytesIO) -> pl.DataFrame:
    return pl.read_ndjson(content, infer_schema_length=None)


def _read_json(content: io.BytesIO) -> pl.DataFrame:
    is_list = content.getvalue().lstrip().startswith(b"[")
    return pl.read_json(content, infer_schema_length=None) if is_list else _read_lines(content)


PARSERS: dict[str, Callable[[io.BytesIO], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".pq": pl.read_parquet,
    ".arrow": pl.read_ipc,
    ".feather": pl.read_ipc,
    ".ipc": pl.read_ipc,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
}


def _unzip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(_only_member(archive))


def _only_member(archive: zipfile.ZipFile) -> str:
    members = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if len(members) != 1:
        raise ValueError(f"it holds {len(members)} files ({shorten(members)}), expected one")
    return members[0]


def _unpack_zstd(content: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)) as reader:
        return bytes(reader.read())


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": _unpack_zstd,
    ".zip": _unzip,
}


def _unpack(path: Path, content: bytes) -> tuple[str, bytes]:
    """The name without the packing's suffix, and the bytes inside."""
    suffix = path.suffix.lower()
    if suffix not in PACKINGS:
        return path.name, content
    try:
        unpacked = PACKINGS[suffix](content)
    except (
        OSError,
        EOFError,
        ValueError,
        lzma.LZMAError,
        zipfile.BadZipFile,
        zstandard.ZstdError,
    ) as error:
        raise ValueError(
            f"{path} cannot be unpacked as {suffix.removeprefix('.')}: {error}; unpack it by hand, or fetch it again"
        ) from error
    if not unpacked.strip():
        raise ValueError(f"{path} is empty inside; expected a table with rows")
    return path.stem, unpacked


def _as_text(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind == pl.String:
        return column
    if kind == pl.Boolean:
        return column.replace_strict([True, False], ["True", "False"], return_dtype=pl.String)
    if isinstance(kind, pl.List | pl.Array):
        items = column.cast(pl.List(pl.String))
        return items.list.join("|").alias(column.name)
    if kind == pl.Binary:
        raise ValueError(f"column {column.name!r} holds bytes, no text; leave it out or decode it")
    if isinstance(kind, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d %H:%M:%S")
    if kind.is_float():
        column = column.fill_nan(None)
        whole = (column.round() == column) & (column.abs() < 2**53)
        if bool(whole.all()):
            column = column.cast(pl.Int64)
    return column.cast(pl.String)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a CSV file such as {path / 'train.csv'}")
    if not path.exists():
        siblings = (
            [entry.name for entry in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        )
        there = f" (CSV files there: {', '.join(sorted(siblings))})" if siblings else ""
        raise FileNotFoundError(
            f"no file {path}{nearest(path.name, siblings)}{there}; check the path"
        )
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"{path} is empty; expected a CSV with a header line and rows")
    return content
