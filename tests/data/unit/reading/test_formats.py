"""Every format gives the frame that the same table gives as CSV."""

import bz2
import gzip
import lzma
import zipfile
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import zstandard

from bert_playground.data.reading.table import read_table

CSV = "id,fare,sex,seen\n007,7.25,male,True\n008,,female,False\n"
EXPECTED = pl.DataFrame(
    {
        "id": ["007", "008"],
        "fare": ["7.25", None],
        "sex": ["male", "female"],
        "seen": ["True", "False"],
    }
)
TYPED = EXPECTED.with_columns(pl.col("fare").cast(pl.Float64), seen=pl.Series([True, False]))


def _zip(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.csv", content)


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_compressed_files_read_like_plain_ones(tmp_path, suffix, pack):
    path = tmp_path / f"train.csv{suffix}"
    path.write_bytes(pack(CSV.encode()))
    assert read_table(path).equals(EXPECTED)


def test_a_zip_with_one_table(tmp_path):
    _zip(tmp_path / "train.csv.zip", train=CSV)
    assert read_table(tmp_path / "train.csv.zip").equals(EXPECTED)


def test_a_zip_with_two_tables_is_refused_by_name(tmp_path):
    _zip(tmp_path / "all.zip", train=CSV, test=CSV)
    with pytest.raises(ValueError, match=r"holds 2 files \(train.csv, test.csv\), expected one"):
        read_table(tmp_path / "all.zip")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_a_damaged_packing_is_named(tmp_path, suffix):
    path = tmp_path / f"train.csv{suffix}"
    path.write_bytes(b"id,fare\n1,2\n")
    with pytest.raises(ValueError, match=rf"cannot be decompressed as {suffix[1:]}"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.parquet", TYPED.write_parquet),
        ("t.arrow", TYPED.write_ipc),
        ("t.feather", TYPED.write_ipc),
        ("t.jsonl", TYPED.write_ndjson),
        ("t.ndjson", TYPED.write_ndjson),
        ("t.json", TYPED.write_json),
        ("t.json", TYPED.write_ndjson),
        ("t.tsv", lambda path: EXPECTED.write_csv(path, separator="\t")),
    ],
)
def test_typed_formats_read_like_csv(tmp_path, name, write):
    write(tmp_path / name)
    assert read_table(tmp_path / name).equals(EXPECTED)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.jsonl", "t.json"])
def test_damaged_typed_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"[no table")
    with pytest.raises(ValueError, match=rf"{name} cannot be read as {name[2:]}"):
        read_table(tmp_path / name)


def test_fields_of_records_named_like_a_column_are_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a.b": 1, "a": {"b": 2}, "c": 3}\n' * 3)
    with pytest.raises(ValueError, match=r"^a\.b would be the name of several columns"):
        read_table(tmp_path / "t.jsonl")


def test_records_lists_and_times_become_cells(tmp_path):
    frame = pl.DataFrame(
        {
            "who": [{"name": "Ada", "home": {"city": "London"}}],
            "tags": [["a", "b"]],
            "born": [date(1815, 12, 10)],
            "seen": [datetime(2020, 1, 2, 3, 4)],
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").to_dicts() == [
        {
            "who.name": "Ada",
            "who.home.city": "London",
            "tags": "a|b",
            "born": "1815-12-10",
            "seen": "2020-01-02 03:04:00",
        }
    ]


def test_a_column_of_bytes_is_refused(tmp_path):
    pl.DataFrame({"raw": [b"\x00"]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="column 'raw' holds bytes"):
        read_table(tmp_path / "t.parquet")


def test_several_files_and_patterns_are_one_table(tmp_path):
    EXPECTED[:1].write_csv(tmp_path / "part-0.csv")
    EXPECTED[1:].select("sex", "id", "seen", "fare").write_csv(tmp_path / "part-1.csv")
    assert read_table(tmp_path / "part-*.csv").equals(EXPECTED)
    listed = [tmp_path / "part-1.csv", str(tmp_path / "part-0.csv")]
    assert read_table(listed).select(EXPECTED.columns).equals(EXPECTED[::-1])


def test_files_with_other_columns_are_refused(tmp_path):
    EXPECTED.write_csv(tmp_path / "part-0.csv")
    EXPECTED.rename({"fare": "price"}).write_csv(tmp_path / "part-1.csv")
    with pytest.raises(ValueError, match="different columns: fare, price"):
        read_table(tmp_path / "part-*.csv")


def test_a_pattern_without_match_is_no_empty_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file matches"):
        read_table(tmp_path / "part-*.csv")


def test_frames_read_like_files():
    assert read_table(TYPED).equals(EXPECTED)
    frame = pd.DataFrame(
        {
            "id": ["007", "008"],
            "fare": [7.25, float("nan")],
            "sex": ["male", "female"],
            "seen": [True, False],
        }
    )
    assert read_table(frame).equals(EXPECTED)


def test_a_table_without_rows_is_refused(tmp_path):
    TYPED[:0].write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="no rows"):
        read_table(tmp_path / "t.parquet")
