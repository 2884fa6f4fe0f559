"""TableStream: in any chunks, of any format, a stream is the table that `read_table` reads, and faults are found first."""

import csv
import gzip
import io
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_playground.data.reading import records, table_stream
from bert_playground.data.reading.decompress import decompress_to
from bert_playground.data.reading.records import count_lines, cut_records
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import (
    TableStream,
    is_large,
    open_if_longer,
    open_stream,
)
from bert_playground.data.schema.sampling import _draw_rows

ROWS = 23
WRITERS = {
    "csv": lambda frame, path: frame.write_csv(path),
    "tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "parquet": lambda frame, path: frame.write_parquet(path, row_group_size=7),
    "arrow": lambda frame, path: frame.write_ipc(path),
    "jsonl": lambda frame, path: frame.write_ndjson(path),
}
cells = st.one_of(st.none(), st.text(st.sampled_from('ab ,"\n\r;é'), min_size=1, max_size=6))


def mixed_frame() -> pl.DataFrame:
    """Whole numbers first and fractions last, so that chunks alone would be read in another way."""
    return pl.DataFrame(
        {
            "id": [f"{i:03d}" for i in range(ROWS)],
            "whole": [None if i % 5 == 0 else float(i) for i in range(ROWS)],
            "broken": [float(i) if i < 20 else i + 0.5 for i in range(ROWS)],
            "count": range(ROWS),
            "flag": [i % 2 == 0 for i in range(ROWS)],
            "words": [None if i % 4 == 0 else f'say "{i}",\nor not' for i in range(ROWS)],
        }
    )


def whole(table: TableStream) -> pl.DataFrame:
    return pl.concat(table.frames())


@pytest.mark.parametrize("chunk_rows", [1, 3, ROWS, 1000, None])
@pytest.mark.parametrize("name", WRITERS)
def test_a_stream_is_the_table(tmp_path: Path, name: str, chunk_rows: int | None) -> None:
    path = tmp_path / f"table.{name}"
    WRITERS[name](mixed_frame(), path)
    table = open_stream(path, chunk_rows=chunk_rows)
    assert table.num_rows == ROWS
    assert whole(table).equals(read_table(path))
    if chunk_rows == 3:
        assert [chunk.num_rows for chunk in table.chunks] == [3] * 7 + [2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=20),
    chunk_rows=st.integers(1, 8),
    block=st.integers(1, 40),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_csv_in_any_pieces(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[str | None, str | None]],
    chunk_rows: int,
    block: int,
    end: str,
) -> None:
    path = tmp_path / "any.csv"
    names = {"first": pl.String, "second": pl.String}  # no cell is one: that would be a row
    frame = pl.DataFrame([*rows, ("x", "y")], schema=names, orient="row")
    path.write_bytes(frame.write_csv(line_terminator=end).encode())
    monkeypatch.setattr(records, "BLOCK_BYTES", block)
    table = open_stream(path, chunk_rows=chunk_rows)
    assert whole(table).equals(read_table(path))


def test_pieces_are_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n1,"x\ny"\n2,z\n3,w')
    pieces = list(cut_records(path, 0, 2, delimiters=b","))
    assert [path.read_bytes()[a:b] for a, b in pieces] == [b'a,b\n1,"x\ny"\n', b"2,z\n3,w"]
    assert count_lines(path, 100) == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.sampled_from('a,"\n'), max_size=40),
    num_records=st.integers(1, 4),
    block=st.integers(1, 9),
)
def test_records_end_where_the_csv_module_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, num_records: int, block: int
) -> None:
    """Quotes anywhere: cut at a record's end, the pieces alone read as the whole does."""
    path = tmp_path / "any.csv"
    path.write_text(text)
    monkeypatch.setattr(records, "BLOCK_BYTES", block)
    pieces = [text[a:b] for a, b in cut_records(path, 0, num_records, delimiters=b",")]
    assert "".join(pieces) == text

    def parse(part: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO(part, newline="")))

    assert [row for piece in pieces for row in parse(piece)] == parse(text)


def test_quotes_inside_cells_are_letters_in_every_piece(tmp_path: Path) -> None:
    path = tmp_path / "inches.csv"
    rows = ['1,5" pipe', '2,"a\nb"', "3,x", '4,5" and 6" pipes', '5,"say ""no"""', "6,y"]
    path.write_text("id,what\n" + "\n".join(rows) + "\n")
    for chunk_rows in (1, 2, 3, 100):
        assert whole(open_stream(path, chunk_rows=chunk_rows)).equals(read_table(path))


messy = st.sampled_from(
    [
        "1",
        "x",
        '5" pipe',
        '"q"',
        '"a,b"',
        '"a\nb"',
        '"x""y"',
        "",
        '""',
        '"ab"c',
        'a"b"',
        ' "z"',
        '"z" ',
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(messy, messy), min_size=1, max_size=8), chunk_rows=st.integers(1, 4))
def test_stray_quotes_are_mended_alike_in_pieces_and_as_a_whole(
    tmp_path: Path, rows: list[tuple[str, str]], chunk_rows: int
) -> None:
    path = tmp_path / "messy.csv"
    path.write_text("".join(f"{a},{b}\n" for a, b in [("a", "b"), ("first", "row"), *rows]))
    assert whole(open_stream(path, chunk_rows=chunk_rows)).equals(read_table(path))


def test_lines_that_end_with_cr_alone_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "mac.csv"
    path.write_bytes(b"a,b\r1,2\r")
    with pytest.raises(ValueError, match=r"CR alone.*convert it: tr"):
        open_stream(path)


def test_several_files_are_one_table_and_columns_may_be_in_another_order(tmp_path: Path) -> None:
    frame = mixed_frame()
    frame[:10].write_csv(tmp_path / "part-1.csv")
    frame[10:].select(reversed(frame.columns)).write_csv(tmp_path / "part-2.csv")
    table = open_stream(tmp_path / "part-*.csv", chunk_rows=4)
    assert whole(table).equals(read_table(tmp_path / "part-*.csv"))
    assert table.chunks[3].first_row == 10


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_compressed_files_are_decompressed_to_disk_and_removed(tmp_path: Path, suffix: str) -> None:
    import bz2
    import lzma
    import zipfile

    import zstandard

    content = mixed_frame().write_csv().encode()
    path, folder = tmp_path / f"t.csv{suffix}", tmp_path / "decompressed"
    folder.mkdir()
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("t.csv", content)
    else:
        pack = {
            ".gz": gzip.compress,
            ".bz2": bz2.compress,
            ".xz": lzma.compress,
            ".zst": zstandard.ZstdCompressor().compress,
        }[suffix]
        path.write_bytes(pack(content))
    table = open_stream(path, chunk_rows=5, folder=folder)
    assert whole(table).equals(read_table(path))
    assert list(folder.iterdir())
    del table
    assert not list(folder.iterdir())


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-5])
    with pytest.raises(ValueError, match=r"t\.csv\.gz cannot be decompressed as gz"):
        open_stream(path)


def test_blank_lines_and_a_byte_order_mark_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n\n3,4\n\n\n5,6\n")
    table = open_stream(path, chunk_rows=2)
    assert table.columns == ("a", "b")
    assert whole(table)["a"].to_list() == ["1", "3", "5"]


def test_records_in_json_that_differ_between_chunks(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "r": {"x": 1}}\n{"a": 2, "r": {"x": 2}}\n{"a": 2.5, "b": "late"}\n')
    table = open_stream(path, chunk_rows=2)
    assert (
        whole(table)
        .select(sorted(table.columns))
        .equals(read_table(path).select(sorted(table.columns)))
    )


@pytest.fixture(scope="module")
def table_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "table.csv"
    mixed_frame().write_csv(path)
    return path


@given(rows=st.sets(st.integers(0, ROWS - 1), min_size=1), chunk_rows=st.integers(1, 9))
@pytest.mark.medium
def test_selected_rows_are_those_rows(table_path: Path, rows: set[int], chunk_rows: int) -> None:
    numbers, table = np.array(sorted(rows)), open_stream(table_path, chunk_rows=chunk_rows)
    selected = table.select(numbers)
    assert selected.rows.tolist() == numbers.tolist()
    assert whole(selected)["count"].to_list() == [str(i) for i in numbers]
    assert table.take(numbers).equals(whole(selected))
    half = numbers[::2]
    assert selected.select(half).rows.tolist() == half.tolist()


def test_faults_are_named_by_their_line_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n" + "1,2\n" * 30 + "1,2,3\n" + "1,2\n" * 9)
    with pytest.raises(ValueError, match=r"ragged: the header has 2 cells, but line 32 has 3"):
        open_stream(path, chunk_rows=4)


def test_bytes_that_are_no_utf8_are_named_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    content = b"a,b\n" + b"1,2\n" * 30 + b"1,\xff\n"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"byte {content.index(0xFF)} \(line 32\) is 0xff"):
        open_stream(path, chunk_rows=4)


def test_a_quote_that_is_never_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.csv"
    path.write_text('a,b\n1,2\n3,"oh\n' + "1,2\n" * 400)
    monkeypatch.setattr(records, "BLOCK_BYTES", 64)
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 256)
    with pytest.raises(ValueError, match="after byte 8: probably a quote there is never closed"):
        open_stream(path, chunk_rows=4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "duplicate column names"),
    ],
)
def test_files_without_a_table(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        open_stream(path)


def test_files_that_are_not_there_are_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a\n1\n")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'train\.csv'"):
        open_stream(tmp_path / "trian.csv")


def test_a_json_list_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"a": 1}]')
    with pytest.raises(
        ValueError, match=r"one record per line \(\.jsonl\), or set data\.streaming"
    ):
        open_stream(path)


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("a,c\n1,2\n")
    with pytest.raises(ValueError, match="different columns: b, c"):
        open_stream([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_a_file_that_changes_meanwhile_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    table = open_stream(path)
    path.write_text("a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(ValueError, match="has changed since it was opened"):
        whole(table)


def test_chunks_of_long_rows_have_fewer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    content = io.StringIO()
    content.write("a,b\n")
    for i in range(12):
        content.write(f"{i},{'word ' * 250_000}\n")
    path.write_text(content.getvalue())
    assert max(chunk.num_rows for chunk in open_stream(path).chunks) == 6


def test_large_is_a_matter_of_bytes_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, paths = mixed_frame(), []
    for name in ("csv", "parquet", "jsonl"):
        paths.append(tmp_path / f"t.{name}")
        WRITERS[name](frame, paths[-1])
    assert not any(map(is_large, paths))
    assert not is_large(frame)
    monkeypatch.setattr(table_stream, "LARGE_ROWS", ROWS)
    assert all(map(is_large, paths))
    monkeypatch.setattr(table_stream, "LARGE_ROWS", 10**9)
    monkeypatch.setattr(table_stream, "LARGE_BYTES", paths[0].stat().st_size)
    assert is_large(paths[0])


def test_rows_of_very_many_are_drawn_without_a_number_for_each() -> None:
    tracemalloc.start()
    drawn = _draw_rows(10**9, 1_000, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6
    assert len(np.unique(drawn)) == 1_000
    assert drawn.min() < 10**8 < 9 * 10**8 < drawn.max()
    assert sorted(_draw_rows(20, 19, np.random.default_rng(0)).tolist()) != list(range(19))


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_a_longer_file_is_opened_in_chunks_with_the_rows_of_the_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"t.{name}"
    WRITERS[name](mixed_frame(), path)
    assert open_if_longer(path) is None
    monkeypatch.setattr(table_stream, "PART_BYTES", path.stat().st_size)
    monkeypatch.setattr(table_stream, "CHUNK_ROWS", 7)
    stream = open_if_longer(path)
    assert stream is not None
    assert len(stream.chunks) == -(-ROWS // 7)
    assert whole(stream).equals(read_table(path))


def test_what_cannot_be_read_in_pieces_is_left_to_the_whole_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_stream, "PART_BYTES", 1)
    old_mac, records, ragged = (tmp_path / name for name in ("mac.csv", "t.json", "bad.csv"))
    old_mac.write_text("a,b\r1,2\r3,4\r")
    records.write_text('[{"a": 1}, {"a": 2}]')
    ragged.write_text("a,b\n1,2\n1,2,3\n")
    assert all(open_if_longer(path) is None for path in (old_mac, records, ragged))
    assert open_if_longer([ragged, ragged]) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_is_named_when_a_table_is_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 1000))
    folder = tmp_path / "temporary"
    folder.mkdir()
    (folder / "t.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"disk is full.*TMPDIR") as caught:
        decompress_to(path, folder)
    assert caught.value.filename == str(folder / "t.csv")
    assert not list(folder.iterdir())
