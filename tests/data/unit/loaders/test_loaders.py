"""What every loader promises: each row once, one order for one seed, entry at any batch, shards that share fairly."""

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.core.types import Batch, Loader
from bert_playground.data.loaders import MemoryLoader, MLXLoader, StreamingLoader
from bert_playground.data.reading.table_stream import TableStream, open_stream
from bert_playground.data.tokens.token_table import TokenizedTable

ROWS = 61
LENGTHS = np.random.default_rng(0).integers(1, 20, ROWS)


def encode(frame: pl.DataFrame) -> TokenizedTable:
    """Every token of row i is i, and its label 10 i."""
    rows = frame["row"].cast(pl.Int32).to_numpy()
    lengths = LENGTHS[rows]
    return TokenizedTable(
        np.repeat(rows, lengths), np.concatenate([[0], np.cumsum(lengths)]), rows * 10
    )


FRAME = pl.DataFrame({"row": [str(i) for i in range(ROWS)], "other": ["x"] * ROWS})
TABLE = encode(FRAME)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaders")
    FRAME[:30].write_csv(folder / "part-1.csv")
    FRAME[30:].write_csv(folder / "part-2.csv")
    return folder / "part-*.csv"


def make_streaming(path: Path, chunk_rows: int = 7, **options: Any) -> StreamingLoader:
    return StreamingLoader(open_once(path, chunk_rows), encode, **options)


@cache
def open_once(path: Path, chunk_rows: int) -> TableStream:
    """A stream is never changed, so that all loaders share it."""
    return open_stream(path, chunk_rows=chunk_rows)


Make = Callable[..., Loader]


@pytest.fixture(params=["mlx", "streaming", "memory"])
def make(request: pytest.FixtureRequest, path: Path) -> Make:
    def memory(**options: Any) -> Loader:
        kept = {name: options[name] for name in ("batch_size", "layout") if name in options}
        return MemoryLoader(TABLE, **kept)

    makers: dict[str, Make] = {
        "mlx": lambda **options: MLXLoader(TABLE, **options),
        "streaming": lambda **options: make_streaming(path, **options),
        "memory": memory,
    }
    return makers[request.param]


def rows_of(batches: list[Batch]) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


def flat(batches: list[Batch]) -> list[int]:
    return [row for rows in rows_of(batches) for row in rows]


def check_content(batch: Batch) -> None:
    """Ids, lengths and labels are those of the rows that the batch names."""
    rows = np.array(batch.rows)
    assert batch.labels is not None
    assert mx.array_equal(batch.labels, batch.rows * 10)
    if batch.tokens.is_packed:
        assert np.array(batch.tokens.input_ids).tolist() == np.repeat(rows, LENGTHS[rows]).tolist()
        return
    assert batch.tokens.attention_mask is not None
    mask = np.array(batch.tokens.attention_mask)
    assert mask.sum(axis=1).tolist() == LENGTHS[rows].tolist()
    assert (
        np.array(batch.tokens.input_ids)[mask].tolist() == np.repeat(rows, LENGTHS[rows]).tolist()
    )


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_row_comes_once_as_it_is(make: Make, layout: str, shuffle: bool) -> None:
    loader = make(batch_size=8, shuffle=shuffle, layout=layout)
    batches = list(loader)
    assert len(batches) == len(loader) == 8
    assert sorted(flat(batches)) == list(range(ROWS))
    assert loader.num_rows == ROWS
    for batch in batches:
        check_content(batch)
    assert flat(list(loader.iterate(epoch=0))) == flat(batches)


@pytest.mark.parametrize("start", [0, 1, 5, 7, 8, 99])
def test_an_epoch_goes_on_from_any_batch(make: Make, start: int) -> None:
    loader = make(batch_size=8, shuffle=True, seed=3)
    whole = rows_of(list(loader.iterate(epoch=2)))
    assert rows_of(list(loader.iterate(epoch=2, start=start))) == whole[start:]


streams = {
    "chunk_rows": st.integers(1, 70),
    "batch_size": st.integers(1, 70),
    "buffer_chunks": st.integers(1, 5),
    "seed": st.integers(0, 2**31),
    "shuffle": st.booleans(),
    "layout": st.sampled_from(["packed", "padded"]),
}


@given(**streams, epoch=st.integers(0, 3), start=st.integers(0, 80))
@pytest.mark.medium
def test_a_stream_gives_each_row_once_and_can_be_entered_anywhere(
    path: Path, epoch: int, start: int, **options: Any
) -> None:
    loader = make_streaming(path, prefetch_size=0, **options)
    batches = list(loader.iterate(epoch))
    sizes = [len(rows) for rows in rows_of(batches)]
    assert len(batches) == len(loader) == -(-ROWS // options["batch_size"])
    assert sorted(flat(batches)) == list(range(ROWS))
    assert sorted(sizes)[1:] == [options["batch_size"]] * (len(sizes) - 1)
    assert rows_of(list(loader.iterate(epoch, start))) == rows_of(batches)[start:]
    for batch in batches:
        check_content(batch)


@given(num_workers=st.integers(0, 5), prefetch_size=st.integers(0, 6), seed=st.integers(0, 99))
@pytest.mark.medium
def test_threads_do_not_change_the_order(
    path: Path, num_workers: int, prefetch_size: int, seed: int
) -> None:
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "seed": seed}
    ahead = {"num_workers": num_workers, "prefetch_size": prefetch_size}
    plain = {"num_workers": 0, "prefetch_size": 0}
    assert rows_of(list(make_streaming(path, **options, **ahead))) == rows_of(
        list(make_streaming(path, **options, **plain))
    )
    assert rows_of(list(MLXLoader(TABLE, **options, **ahead))) == rows_of(
        list(MLXLoader(TABLE, **options, **plain))
    )


@given(
    world_size=st.integers(1, 7),
    batch_size=st.integers(2, 20),
    shuffle=st.booleans(),
    layout=st.sampled_from(["packed", "padded"]),
    epoch=st.integers(0, 2),
)
@pytest.mark.medium
def test_processes_share_the_rows_and_take_equally_many_steps(
    path: Path, world_size: int, batch_size: int, shuffle: bool, layout: str, epoch: int
) -> None:
    for maker in (
        lambda **more: MLXLoader(TABLE, **more),
        lambda **more: make_streaming(path, **more),
    ):
        loaders = [
            maker(
                rank=rank,
                world_size=world_size,
                batch_size=batch_size,
                shuffle=shuffle,
                layout=layout,
                prefetch_size=0,
            )
            for rank in range(world_size)
        ]
        parts = [list(loader.iterate(epoch)) for loader in loaders]
        assert sorted(row for part in parts for row in flat(part)) == list(range(ROWS))
        assert {len(part) for part in parts} == {len(loader) for loader in loaders}
        assert len({len(part) for part in parts}) == 1
        assert [len(flat(part)) for part in parts] == [loader.num_rows for loader in loaders]
        assert all(rows for part in parts for rows in rows_of(part))
        for loader, part in zip(loaders, parts, strict=True):
            assert rows_of(list(loader.iterate(epoch, 1))) == rows_of(part)[1:]


def test_batches_of_one_row_that_cannot_be_shared_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"30 rows cannot be 31 batches.*larger batch size"):
        make_streaming(path, rank=0, world_size=2, batch_size=1)
    with pytest.raises(ValueError, match="rank is 2 of world_size 2, expected 0 to 1"):
        MLXLoader(TABLE, rank=2, world_size=2)


def test_seeds_and_epochs_give_other_orders(path: Path) -> None:
    orders = [
        flat(list(make_streaming(path, shuffle=True, seed=seed).iterate(epoch)))
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]


def test_shuffled_rows_come_from_all_over_the_buffer(path: Path) -> None:
    loader = make_streaming(path, 5, shuffle=True, batch_size=10, layout="packed", buffer_chunks=13)
    first = next(iter(loader)).rows.tolist()
    assert max(first) - min(first) > 30


def test_padded_streams_are_sorted_by_length_in_the_buffer(path: Path) -> None:
    def padding(loader: Loader) -> int:
        return sum(int((~np.array(b.tokens.attention_mask)).sum()) for b in loader)

    mixed = {"batch_size": 6, "shuffle": True, "layout": "padded", "buffer_chunks": 10}
    by_chance = [np.random.default_rng(0).permutation(ROWS)[i : i + 6] for i in range(0, ROWS, 6)]
    chance = sum(-(-LENGTHS[b].max() // 8) * 8 * len(b) - LENGTHS[b].sum() for b in by_chance)
    assert padding(make_streaming(path, **mixed)) < 0.7 * chance


def test_a_failing_worker_is_reported_with_its_rows_and_its_error(path: Path) -> None:
    table = open_stream(path, chunk_rows=7)

    def fail(error: Exception) -> Callable[[pl.DataFrame], TokenizedTable]:
        def broken(frame: pl.DataFrame) -> TokenizedTable:
            if "17" in frame["row"].to_list():
                raise error
            return encode(frame)

        return broken

    with pytest.raises(
        ValueError, match=r"part-1\.csv, rows 15 to 21: label 'x' is unknown"
    ) as told:
        list(StreamingLoader(table, fail(ValueError("label 'x' is unknown")), num_workers=3))
    assert isinstance(told.value.__cause__, ValueError)
    with pytest.raises(RuntimeError, match=r"rows 15 to 21: MemoryError: no room"):
        list(StreamingLoader(table, fail(MemoryError("no room")), num_workers=3))
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_only_the_chunks_that_are_needed_are_read(path: Path) -> None:
    read: list[str] = []

    def watch(frame: pl.DataFrame) -> TokenizedTable:
        read.append(frame["row"][0])
        return encode(frame)

    table = open_stream(path, chunk_rows=7)
    loader = StreamingLoader(table, watch, batch_size=8, buffer_chunks=1, prefetch_size=0)
    list(loader.iterate(start=6))
    assert read == ["44", "51", "58"]  # batch 6 begins with row 48
    read.clear()
    list(StreamingLoader(table, watch, rank=1, world_size=2, prefetch_size=0))
    assert read[0] == "30"


def test_leaving_early_leaves_no_thread(path: Path) -> None:
    batches = make_streaming(path, batch_size=2, num_workers=3).iterate()
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_part_of_a_stream_keeps_the_numbers_of_the_table(path: Path) -> None:
    table: TableStream = open_stream(path, chunk_rows=7).select(np.arange(1, ROWS, 3))
    batches = list(StreamingLoader(table, encode, shuffle=True, batch_size=4))
    assert sorted(flat(batches)) == list(range(1, ROWS, 3))
    for batch in batches:
        check_content(batch)


def test_rows_of_a_program_become_batches_in_their_order() -> None:
    loader = MemoryLoader.of_rows(
        [{"row": 5}, {"row": 2, "other": "y"}, {"row": 9}], encode, batch_size=2
    )
    assert len(loader) == 2
    assert np.array(next(iter(loader)).labels).tolist() == [50, 20]
    assert rows_of(list(loader)) == [[0, 1], [2]]
    with pytest.raises(ValueError, match="there are no rows"):
        MemoryLoader.of_rows([], encode)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"buffer_chunks": 0}, "buffer_chunks 0"),
        ({"layout": "x"}, "layout is 'x'"),
        ({"rank": 1}, "rank is 1 of world_size 1"),
    ],
)
def test_wrong_options_are_refused(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_streaming(path, **options)
