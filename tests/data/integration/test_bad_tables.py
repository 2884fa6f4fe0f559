"""Whatever bytes come as a table: it is read, or a message says what is wrong; never another exception."""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare
from bert_playground.data.reading.csv_text import name_nameless, parse_csv, sniff_delimiter
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.data.templates.templates import Template
from tests.fitting import describe_frame

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
CELLS = st.one_of(
    st.sampled_from(
        [
            "", " ", "NA", "nan", "?", "None", "1", "0", "-3.5", "1e400", "1e-400", "inf", "-inf", "007", "1,5", "$5", "12 %",
            "2020-01-31", "2020-13-45", "31.12.2020", "yes", "no", "True", "a|b", "[1, 2]", "Smith, Mr. John", "C85", "[SEP]",
            "12,5 %", "1.250,50 €", "1 250", "($3)", "€1.2M", "4/5", "5kg", "2 weeks", "1 h 30 min", "20200131", "2020-01", "10:30", "1:05 PM",
            "1/31/20", "31.12.20", "\u0663", "\uff11", "\u22125", "\x1b[31m", "a;b", "a, b", "{value}", "{{ x }}", "[MASK]",
            "count", "\u200b", "é", "\U0001f600", "\ud7ff", "x" * 300, "many words that say nothing at all here", "'", "\t",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.integers(-10, 10).map(str),
    st.floats().map(str),
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(["", " ", "Unnamed: 0", "{name}", "{value}", "[SEP]", "user_id", "a;b", 'q"q', "id", "count", "len", "value", "row", "__end", "a b", "0", "é", "target", "x,y", "A.B", "literal"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=6),
)  # fmt: skip


def try_all(path: Path, *, describes: bool = True, **options: object) -> bool:
    """Read, describe and prepare a table as training would; whether all of it could be done."""
    try:
        if describes:
            describe_frame(read_table(path), target=options.get("target"))
        tables = prepare(RunConfig(data=DataSection(train=path, **options)))
        pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text, vocab_size=300)
        table = pipeline.tokenize(tables.val)
    except ValueError as error:
        fault = error
    else:
        assert table.num_rows == tables.val.height
        assert table.labels is not None
        assert np.isfinite(table.labels).all()
        return True
    # Not a kind of ValueError that nobody worded, such as UnicodeDecodeError.
    assert type(fault) is ValueError, repr(fault)
    assert len(str(fault)) > 20, repr(fault)
    return False


@FUZZ
@given(content=st.binary(max_size=300))
@example(content=b"")
@example(content=b"\n\n\n")
@example(content=b"\xef\xbb\xbf")
@example(content=b"\xef\xbb\xbfa,b\n1,2\n")
@example(content=b'"')
@example(content=b'a,"b\n1,2')
@example(content=b"a\r1\r2\r")
@example(content=b",,,\n,,,\n")
@example(content=b"\xff\xfe\x00")
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    try_all(tmp_path / "train.csv")


@FUZZ
@given(
    columns=st.dictionaries(NAMES, st.lists(CELLS, min_size=12, max_size=12), min_size=1, max_size=5),
    labels=st.lists(st.sampled_from(["0", "1", "2", "7.5", "cat", "", "nan"]), min_size=12, max_size=12),
)  # fmt: skip
@pytest.mark.medium
def test_any_cells_are_read_or_refused(columns, labels, tmp_path: Path) -> None:
    frame = pl.DataFrame({**columns, "target": labels})
    frame.write_csv(tmp_path / "train.csv")
    for target in ("target", None):
        try_all(tmp_path / "train.csv", **({"target": target} if target else {}))


SUFFIXES = (
    ".jsonl",
    ".json",
    ".parquet",
    ".arrow",
    ".csv.gz",
    ".csv.zst",
    ".csv.xz",
    ".csv.bz2",
    ".zip",
    ".tsv",
    ".xlsx",
)


@FUZZ
@given(suffix=st.sampled_from(SUFFIXES), start=st.integers(0, 2), damage=st.data())
def test_damaged_files_of_any_format_are_read_or_refused(
    suffix, start, damage, tmp_path: Path
) -> None:
    whole = CONTENTS[suffix]
    cut = damage.draw(st.integers(0, len(whole)))
    place = damage.draw(st.integers(0, max(0, cut - 1)))
    content = bytearray(whole[:cut])
    if cut and start:
        content[place] ^= damage.draw(st.integers(1, 255))
    (tmp_path / f"train{suffix}").write_bytes(bytes(content))
    try_all(tmp_path / f"train{suffix}", target="Survived")


@FUZZ
@given(
    records=st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c.d", "label"]),
            st.recursive(
                st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
                max_leaves=4,
            ),
            max_size=4,
        ),
        max_size=6,
    ),
    form=st.sampled_from(["lines", "list", "columns"]),
)  # fmt: skip
@example(records=[{"a": [[], ["x", ["y"]]], "label": [{"a": [1]}]}], form="lines")
def test_any_records_are_read_or_refused(records, form, tmp_path: Path) -> None:
    if form == "lines":
        (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, records)))
        try_all(tmp_path / "train.jsonl")
        return
    whole = records if form == "list" else {str(i): record for i, record in enumerate(records)}
    (tmp_path / "train.json").write_text(json.dumps(whole))
    try_all(tmp_path / "train.json")


OPTIONS = st.dictionaries(
    st.sampled_from([field.name for field in fields(Template)] + ["unit"]),
    st.one_of(
        st.booleans(), st.integers(0, 3), st.text("{}ae%[] ", max_size=6),
        st.sampled_from(["{value}", "{name}={value}{unit}", "exact", "magnitude", "skipped", "{{ Age }}", "{% if"]),
        st.dictionaries(
            st.sampled_from(["Age", "Sex", "Survived", "New"]),
            st.sampled_from(["{value}", "year", "a|b", "Age", "Age + 1", "CAST(Age AS INT)", "Survived", "SELECT", 3]),
            max_size=2,
        ),
    ),
    max_size=2,
)  # fmt: skip


@FUZZ
@given(options=OPTIONS, template=st.sampled_from(["auto", "natural", "cells", "separated"]))
@pytest.mark.medium
def test_any_template_options_are_followed_or_refused(options, template, tmp_path: Path) -> None:
    path = write(good_rows(24), tmp_path)
    # How rows are worded is nothing to the description.
    try_all(path, describes=False, target="Survived", template=template, template_options=options)


@pytest.mark.slow
@FUZZ
@given(column=st.lists(CELLS, min_size=40, max_size=40), name=NAMES)
def test_a_mixed_column_beside_good_ones_never_stops_training(column, name, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            name: column,
            "Age": random.integers(1, 80, 40),
            "Sex": random.choice(["m", "f"], 40),
            "Survived": np.arange(40) % 2,
        }
    )
    if name in ("Age", "Sex", "Survived"):
        return
    frame.write_csv(tmp_path / "train.csv")
    assert try_all(tmp_path / "train.csv", target="Survived", id_column=None)


@settings(FUZZ, max_examples=400)  # cheap, and quotes meet rarely
@given(st.text(st.sampled_from([*'ab,,,"\n\n;|\t0 é']), max_size=40))
@example('a,b\n5" pipe,2\n6" pipe,3\n7,4\n')
@example('0"0\n0"0\n0\n')
@example("0\n0,")
@pytest.mark.medium
def test_cells_are_those_of_pythons_own_reader(text: str) -> None:
    text = text if text.endswith("\n") else text + "\n"
    delimiter = sniff_delimiter(text)
    try:
        frame = parse_csv(Path("train.csv"), text.encode())
        expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (ValueError, csv.Error):
        return  # refused, or broken
    ours = [
        frame.columns,
        *(["" if cell is None else cell for cell in row] for row in frame.rows()),
    ]
    header, *rows = (row for row in expected if row)
    assert ours[0] == name_nameless(header)
    # A blank line of a table with one column may be an empty cell.
    assert [row for row in ours[1:] if any(row)] == [row for row in rows if any(row)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a,b\n1,"2\n3,4\n', "never closed, in the row that begins on line 2"),
        ("a,b\n1,2,3\n", "line 2 has 3"),
        ("a" * 200_000 + ",b\n1\n", "line 2 has 1"),
    ],
)
def test_broken_rows_are_named(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_csv(Path("train.csv"), content.encode())


def test_line_ends_of_old_macs_are_read() -> None:
    assert parse_csv(Path("train.csv"), b"a,b\r1,2\r3,4").rows() == [("1", "2"), ("3", "4")]


def good_rows(count: int = 200) -> pl.DataFrame:
    random = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "id": np.arange(count),
            "Age": random.integers(1, 80, count),
            "Sex": random.choice(["m", "f"], count),
            "Survived": np.arange(count) % 2,
        }
    )


def pack_all() -> dict[str, bytes]:
    """The same small table in every format."""
    frame, csv_bytes = good_rows(24), good_rows(24).write_csv().encode()
    buffers = {name: io.BytesIO() for name in ("parquet", "ipc", "ndjson", "json", "zip")}
    frame.write_parquet(buffers["parquet"])
    frame.write_ipc(buffers["ipc"])
    frame.write_ndjson(buffers["ndjson"])
    frame.write_json(buffers["json"])
    with zipfile.ZipFile(buffers["zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", csv_bytes)
    packed = {name: buffer.getvalue() for name, buffer in buffers.items()}
    return {
        ".jsonl": packed["ndjson"], ".json": packed["json"], ".parquet": packed["parquet"], ".arrow": packed["ipc"],
        ".csv.gz": gzip.compress(csv_bytes), ".csv.zst": zstandard.compress(csv_bytes), ".csv.xz": lzma.compress(csv_bytes),
        ".csv.bz2": bz2.compress(csv_bytes), ".zip": packed["zip"], ".tsv": csv_bytes, ".xlsx": packed["zip"],
    }  # fmt: skip


CONTENTS = pack_all()


def write(frame: pl.DataFrame, folder: Path, **how: object) -> Path:
    frame.write_csv(folder / "train.csv", **how)
    return folder / "train.csv"


@pytest.mark.slow
def test_ten_thousand_categories_are_read_in_seconds(tmp_path: Path) -> None:
    rows = good_rows(40_000).with_columns(
        City=pl.Series([f"city {i % 10_000:05}" for i in range(40_000)])
    )
    path = write(rows, tmp_path)
    tables = prepare(RunConfig(data=DataSection(train=path, target="Survived")))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    (city,) = (feature for feature in pipeline.features if feature.column == "City")
    assert len(city.known) <= 256
    warnings = describe_frame(read_table(path), target="Survived").warnings
    assert any(
        "City has 10000 categories: rare ones are read as other" in said for said in warnings
    )


def test_constant_columns_are_left_out_and_said(tmp_path: Path) -> None:
    path = write(good_rows().with_columns(Ship=pl.lit("Titanic"), Empty=pl.lit("")), tmp_path)
    tables = prepare(RunConfig(data=DataSection(train=path, target="Survived")))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert not {"Ship", "Empty"} & set(pipeline.columns)
    assert any("Ship, Empty" in said for said in pipeline.statements)


@pytest.mark.slow
def test_a_cell_of_five_megabytes_is_cut_and_said(tmp_path: Path) -> None:
    notes = ["some words about this row, number " + str(i) for i in range(200)]
    notes[7] = "very long " * 500_000
    path = write(good_rows().with_columns(Note=pl.Series(notes)), tmp_path)
    assert path.stat().st_size > 5_000_000
    tables = prepare(RunConfig(data=DataSection(train=path, target="Survived")))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    both = (pipeline.tokenize(rows) for rows in (tables.train, tables.val))
    assert max(int(table.lengths.max()) for table in both) <= tables.text.max_length
    warnings = describe_frame(read_table(path), target="Survived").warnings
    assert any("Note has a cell of 5000000 characters" in said for said in warnings)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b""])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_marks_and_delimiters_do_not_matter(tmp_path: Path, mark: bytes, separator: str) -> None:
    path = write(good_rows(), tmp_path, separator=separator)
    path.write_bytes(mark + path.read_bytes())
    frame = read_table(path)
    assert frame.columns == good_rows().columns
    assert frame.equals(good_rows().cast(pl.String))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_named(tmp_path: Path, encoding: str) -> None:
    path = write(good_rows(), tmp_path)
    path.write_bytes(path.read_text().encode(encoding))
    with pytest.raises(ValueError, match=r"UTF-16|UTF-32|NUL byte"):
        read_table(path)


def test_columns_without_a_name_get_one_and_are_read(tmp_path: Path) -> None:
    rows = good_rows().rename({"id": "", "Age": "later"}).with_columns(pl.lit("").alias("end"))
    path = write(rows, tmp_path)
    path.write_text(path.read_text().replace("later", "").replace("end", "", 1))
    assert read_table(path).columns == ["Unnamed: 0", "Unnamed: 1", "Sex", "Survived", "Unnamed: 4"]
    assert read_table(path).rows()[0][:3] == read_table(good_rows()).rows()[0][:3]
    assert open_stream(path).columns == tuple(read_table(path).columns)
    assert open_stream(path).take(np.arange(200)).equals(read_table(path))
    assert try_all(path, target="Survived")
    path.write_text(",Unnamed: 0\n1,2\n")
    with pytest.raises(ValueError, match="duplicate column names: 'Unnamed: 0'"):
        read_table(path)


def test_a_nul_byte_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"a,b\n1,\x002\n")
    with pytest.raises(ValueError, match=r"NUL byte at byte 6.*export it again"):
        read_table(tmp_path / "train.csv")


def test_duplicate_columns_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b,a,b,c\n1,2,3,4,5\n")
    with pytest.raises(ValueError, match=r"duplicate column names: 'a', 'b'"):
        read_table(tmp_path / "train.csv")


def test_duplicate_ids_are_said(tmp_path: Path) -> None:
    rows = good_rows().with_columns(id=pl.col("id") // 2)
    warnings = describe_frame(
        read_table(write(rows, tmp_path)), target="Survived", id_column="id"
    ).warnings
    assert "id repeats on 100 rows, though it is the id" in warnings
