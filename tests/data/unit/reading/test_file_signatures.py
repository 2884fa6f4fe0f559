"""Files that are damaged, or of another format than their name says: named, never half-read."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import zstandard

from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.logger import logger

FRAME = pl.DataFrame({"a": [str(i) for i in range(50_000)], "b": ["x", "y"] * 25_000})
CSV = FRAME.write_csv().encode()
READERS = [read_table, open_stream]


def as_bytes(write: str) -> bytes:
    buffer = io.BytesIO()
    getattr(FRAME[:20], write)(buffer)
    return buffer.getvalue()


def spoilt(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + b"U" * 64 + content[half + 64 :]


@pytest.mark.parametrize("read", READERS)
def test_zstandard_of_several_frames_is_read_whole(read: Callable, tmp_path: Path) -> None:
    half = CSV.index(b"\n", len(CSV) // 2) + 1
    path = tmp_path / "t.csv.zst"
    path.write_bytes(zstandard.compress(CSV[:half]) + zstandard.compress(CSV[half:]))
    table = read(path)
    assert (table.height if isinstance(table, pl.DataFrame) else table.num_rows) == FRAME.height


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("zst", zstandard.compress(CSV)[:-100]),
        ("zst", zstandard.compress(CSV) + zstandard.compress(CSV)[:-100]),
        ("gz", gzip.compress(CSV)[:-100]),
        ("gz", spoilt(gzip.compress(CSV))),
        ("zst", spoilt(zstandard.ZstdCompressor(write_checksum=True).compress(CSV))),
    ],
)
def test_a_compressed_file_that_was_cut_off_is_never_read_in_part(
    read: Callable, suffix: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"t.csv.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"t.csv.{suffix} cannot be decompressed as {suffix}"):
        read(path)


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t.csv", CSV)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of encryption
        content[content.index(mark) + place] |= 1
    path.write_bytes(bytes(content))
    for read in READERS:
        with pytest.raises(ValueError, match=r"cannot be decompressed as zip: .*encrypted"):
            read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(CSV), "compressed by gzip; give it the ending .gz"),
        (zstandard.compress(CSV), "compressed by zstandard"),
        (b"PK\x03\x04" + bytes(40), "workbook of Excel"),
        (as_bytes("write_parquet"), "a Parquet file; give it the ending .parquet"),
        (as_bytes("write_ipc"), "an Arrow file"),
        (b"\n<!DOCTYPE html><html>a,b</html>\n", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "git lfs pull"),
    ],
)
def test_other_formats_are_named(
    read: Callable, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(ValueError, match=f"train.csv is no CSV but .*{message}"):
        read(tmp_path / "train.csv")


def test_a_stream_of_arrow_is_read_as_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "t.arrow").write_bytes(as_bytes("write_ipc_stream"))
    assert read_table(tmp_path / "t.arrow").equals(FRAME[:20])


@pytest.mark.parametrize("read", READERS)
def test_a_mark_before_json_lines_does_not_matter(read: Callable, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + as_bytes("write_ndjson"))
    assert list(read(tmp_path / "t.jsonl").columns) == ["a", "b"]


@pytest.mark.parametrize("read", READERS)
def test_a_line_that_is_no_record_is_named(read: Callable, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n{"a": \n{"a": 4}\n')
    with pytest.raises(ValueError, match="line 4 is no JSON record"):
        read(tmp_path / "t.jsonl")


@pytest.mark.parametrize("columns", [{"a": [1, 2]}, {"a": {"0": 1, "1": 2}}])
def test_json_of_columns_is_told_from_rows(columns: dict, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(columns))
    with pytest.raises(ValueError, match=r"it holds columns.*orient='records'"):
        read_table(tmp_path / "t.json")
    (tmp_path / "t.json").write_text(json.dumps({"a": 1, "b": [1, 2]}, indent=2))
    assert read_table(tmp_path / "t.json").rows() == [("1", "1|2")]


def test_durations_are_seconds_and_objects_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"d": [timedelta(days=1), timedelta(seconds=1.5)]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["d"].to_list() == ["86400.0", "1.5"]
    assert read_table(pd.DataFrame({"d": frame["d"].to_list()}))["d"].to_list()[1] == "1.5"
    with pytest.raises(ValueError, match="'o' holds Python objects"):
        read_table(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))


def test_what_is_no_table_is_refused() -> None:
    assert read_table(pl.LazyFrame({"a": [1]})).rows() == [("1",)]
    for source in (None, 3, {"a": 1}, [], pd.Series([1])):
        with pytest.raises(ValueError, match=r"a table is a .*expected a file"):
            read_table(source)
    with pytest.raises(ValueError, match="the frame has duplicate column names: 'a'"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(("header", "is_doubted"), [("0,1.5,x", True), ("0,1,2", False)])
def test_a_first_row_in_place_of_the_header_is_doubted(
    header: str, is_doubted: bool, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n1,2.5,y\n")
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING")
    read_table(tmp_path / "t.csv")
    logger.remove(sink)
    assert ("its first line is read as the header" in "".join(said)) is is_doubted


def test_a_line_above_the_header_is_suspected(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\na;b;c\n1;2;3\n4;5;6\n")
    with pytest.raises(ValueError, match="if the first line is no header, remove it"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("read", READERS)
def test_records_without_any_field_are_refused(read: Callable, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("{}\n{}\n")
    with pytest.raises(ValueError, match=r"t.jsonl has no columns|has a header but no rows"):
        read(tmp_path / "t.jsonl")
