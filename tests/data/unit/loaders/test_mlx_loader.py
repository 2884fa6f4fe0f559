"""MLXLoader: each row once, the same order for the same seed, exact resume, and threads that end."""

import threading

import mlx.core as mx
import numpy as np
import pytest

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.tokens.token_table import TokenizedTable

ROWS = 53


@pytest.fixture(scope="module")
def table() -> TokenizedTable:
    lengths = np.random.default_rng(0).integers(2, 30, ROWS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.repeat(np.arange(ROWS, dtype=np.int32), lengths)  # every token says which row it is of
    return TokenizedTable(ids, offsets, np.arange(ROWS, dtype=np.int32) * 10)


def rows_of(batches: list[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.rows.tolist()]


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("prefetch_size", [0, 3])
def test_every_row_comes_once_with_its_ids_and_label(
    table: TokenizedTable, layout: str, shuffle: bool, prefetch_size: int
) -> None:
    loader = MLXLoader(
        table,
        batch_size=8,
        shuffle=shuffle,
        layout=layout,
        prefetch_size=prefetch_size,
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 7
    assert sorted(rows_of(batches)) == list(range(ROWS))
    for batch in batches:
        assert batch.labels is not None
        assert mx.array_equal(batch.labels, batch.rows * 10)
        assert batch.tokens.is_packed == (layout == "packed")
        assert batch.tokens.num_rows == len(batch.rows)
        first = (
            batch.tokens.input_ids[batch.tokens.cu_seqlens[:-1]]
            if layout == "packed"
            else batch.tokens.input_ids[:, 0]
        )
        assert mx.array_equal(first, batch.rows)


def test_same_seed_and_epoch_give_the_same_order(table: TokenizedTable) -> None:
    loaders = [MLXLoader(table, batch_size=8, shuffle=True, seed=seed) for seed in (4, 4, 5)]
    orders = [rows_of(list(loader.iterate(epoch=2))) for loader in loaders]
    assert orders[0] == orders[1] != orders[2]
    assert rows_of(list(loaders[0].iterate(epoch=3))) != orders[0]


@pytest.mark.parametrize("start", [0, 1, 6, 7, 99])
def test_iteration_goes_on_from_any_batch(table: TokenizedTable, start: int) -> None:
    loader = MLXLoader(table, batch_size=8, shuffle=True, seed=1)
    whole = list(loader.iterate(epoch=1))
    assert rows_of(list(loader.iterate(epoch=1, start=start))) == rows_of(whole[start:])


def test_tables_without_labels_give_batches_without(table: TokenizedTable) -> None:
    assert next(iter(MLXLoader(table._replace(labels=None)))).labels is None


def test_leaving_early_leaves_no_thread(table: TokenizedTable) -> None:
    iterator = MLXLoader(table, batch_size=2, prefetch_size=1).iterate()
    next(iterator)
    assert prefetch_threads()
    iterator.close()
    assert not prefetch_threads()


def test_errors_in_the_thread_are_raised_here(table: TokenizedTable) -> None:
    broken = table._replace(labels=table.labels[:3])
    with pytest.raises(IndexError):
        list(MLXLoader(broken, batch_size=8, prefetch_size=2))
    assert not prefetch_threads()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size is 0"), ({"layout": "x"}, "layout is 'x'")],
)
def test_wrong_options_are_refused(
    table: TokenizedTable, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MLXLoader(table, **options)
