"""Batching: packing and padding lose nothing, and orders are pure functions of their arguments."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_playground.data.loaders.batching import (
    Shard,
    cut_points,
    order_evaluation,
    order_training,
    pack,
    pad,
)
from bert_playground.data.tokens.token_table import TokenizedTable, concat_tables, take_rows

ragged = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=12)


def make_table(rows: list[list[int]]) -> TokenizedTable:
    offsets = np.cumsum([0, *map(len, rows)])
    return TokenizedTable(np.concatenate([np.array(row, dtype=np.int32) for row in rows]), offsets)


@given(ragged, st.data())
def test_packed_rows_are_the_rows(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))
    tokens = pack(make_table(rows), np.array(chosen))
    ends = np.array(tokens.cu_seqlens)
    assert tokens.is_packed
    assert tokens.num_rows == len(chosen)
    assert tokens.cu_seqlens is not None
    assert (tokens.input_ids.dtype, tokens.cu_seqlens.dtype) == (mx.int32, mx.int32)
    ids = tokens.input_ids.tolist()
    assert [ids[a:b] for a, b in itertools.pairwise(ends)] == [rows[i] for i in chosen]


@given(ragged, st.integers(1, 16))
def test_padded_rows_are_the_rows(rows: list[list[int]], multiple: int) -> None:
    tokens = pad(make_table(rows), np.arange(len(rows)), multiple, pad_token_id=7)
    assert tokens.attention_mask is not None
    ids, mask = np.array(tokens.input_ids), np.array(tokens.attention_mask)
    assert mask.dtype == bool
    assert ids.shape[1] % multiple == 0
    assert ids.shape[1] < max(map(len, rows)) + multiple
    assert [row[real].tolist() for row, real in zip(ids, mask, strict=True)] == rows
    assert (ids[~mask] == 7).all()


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=200),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.integers(0, 5),
    st.booleans(),
)
def test_training_order_covers_each_row_once(
    lengths: list[int], batch_size: int, seed: int, epoch: int, by_length: bool
) -> None:
    arguments = (np.array(lengths), batch_size, seed, epoch)
    batches = order_training(*arguments, by_length=by_length)
    again = order_training(*arguments, by_length=by_length)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch_size
    assert len(batches) == -(-len(lengths) // batch_size)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_epochs_and_seeds_give_other_orders() -> None:
    lengths = np.full(100, 5)
    first, second, third = (
        np.concatenate(order_training(lengths, 10, seed, epoch, by_length=True)).tolist()
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert first != second != third != first


def test_buckets_save_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 200, 2000)

    def padding(by_length: bool) -> int:
        batches = order_training(lengths, 32, 0, 0, by_length=by_length)
        return int(
            sum(lengths[batch].max() * len(batch) - lengths[batch].sum() for batch in batches)
        )

    assert padding(True) < 0.4 * padding(False)


def test_evaluation_order_goes_from_long_to_short() -> None:
    lengths = np.array([3, 9, 3, 7])
    assert np.concatenate(order_evaluation(lengths, 3)).tolist() == [1, 3, 0, 2]


@given(ragged, st.data())
def test_rows_keep_all_that_belongs_to_them_when_tables_are_joined_and_taken_apart(
    rows: list[list[int]], data: st.DataObject
) -> None:
    count = len(rows)
    table = make_table(rows)._replace(labels=np.arange(count) * 10, second=np.arange(count) * 100)
    cut = data.draw(st.integers(0, count))
    parts = [take_rows(table, np.arange(cut)), take_rows(table, np.arange(cut, count))]
    joined = concat_tables(parts)
    chosen = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=8)), dtype=np.int64)
    taken = take_rows(joined, chosen)
    assert [row.tolist() for row in taken.rows()][: len(chosen)] == [rows[i] for i in chosen]
    for name, step in (("labels", 10), ("second", 100)):
        assert getattr(joined, name).tolist() == [i * step for i in range(count)]
        assert getattr(taken, name).tolist() == (chosen * step).tolist()


@given(st.integers(0, 300), st.integers(1, 40))
def test_cut_points_give_full_batches_and_a_row_to_one_that_would_have_none(
    num_rows: int, batch_size: int
) -> None:
    sizes = np.diff(cut_points(num_rows, batch_size))
    assert sizes.sum() == num_rows
    assert (sizes[:-1] == batch_size).all()
    if num_rows % batch_size == 0 and num_rows and batch_size > 1:
        more = np.diff(cut_points(num_rows, batch_size, len(sizes) + 1))
        assert more[-1] == 1
        assert more.sum() == num_rows
        assert more.min() > 0


@given(
    st.lists(st.integers(1, 50), min_size=24, max_size=150),
    st.integers(1, 5),
    st.integers(2, 4),
    st.booleans(),
)
def test_the_shares_of_a_step_are_the_step_of_one_process(
    lengths: list[int], rows_of_each: int, world_size: int, by_length: bool
) -> None:
    step_rows = (rows_of_each + 1) * world_size
    arguments = (np.array(lengths), step_rows, 3, 1)
    shares = [
        order_training(*arguments, by_length=by_length, shard=Shard(rank, world_size))
        for rank in range(world_size)
    ]
    whole = order_training(*arguments, by_length=by_length)
    is_even = len(lengths) % step_rows == 0 or len(lengths) % step_rows >= world_size
    steps = [sorted(np.concatenate(parts).tolist()) for parts in zip(*shares, strict=True)]
    assert len(steps) == len(whole)
    if is_even:  # else the last step takes rows of another one, so that every process has one
        assert steps == [sorted(rows.tolist()) for rows in whole]
    assert sorted(row for step in steps for row in step) == list(range(len(lengths)))
    for rank, share in enumerate(shares):
        assert all(len(rows) for rows in share)
        count = Shard(rank, world_size).count_rows(len(lengths), step_rows)
        assert count == sum(map(len, share))


@pytest.mark.parametrize(("num_rows", "step_rows"), [(1, 4), (2, 3), (3, 2), (9, 4)])
def test_too_few_rows_for_all_processes_are_refused(num_rows: int, step_rows: int) -> None:
    with pytest.raises(ValueError, match=f"{num_rows} rows cannot be"):
        Shard(0, 3).cut(num_rows, step_rows)


def test_shares_have_about_as_many_tokens() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 640)
    tokens = [
        [
            int(lengths[rows].sum())
            for rows in order_training(lengths, 64, 0, 0, by_length=False, shard=Shard(rank, 2))
        ]
        for rank in (0, 1)
    ]
    first, second = np.array(tokens)
    assert (abs(first - second) / (first + second)).max() < 0.01
