"""Order, share out, bucket by length, pack or pad: rows → Tokens."""

import itertools
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from bert_playground.data.tokens.token_table import TokenizedTable, gather_rows
from bert_playground.tokens import Tokens

BUCKET_BATCHES = (
    8  # batches whose rows are sorted by length together: less padding, still well mixed
)


class Shard(NamedTuple):
    """One of several processes that train together: each row goes to exactly one, and all take equally many steps."""

    rank: int = 0
    world_size: int = 1

    def checked(self) -> "Shard":
        """Itself.

        Raises:
            ValueError: there is no such rank.
        """
        if not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"rank is {self.rank} of world_size {self.world_size}, expected 0 to {self.world_size - 1}"
            )
        return self

    def count_rows(self, num_rows: int) -> int:
        """Of so many rows in all, those of this process: a difference of one between processes."""
        return len(range(self.rank, num_rows, self.world_size))

    def count_batches(self, num_rows: int, batch_size: int) -> int:
        """The steps of every process: as many as the one with the most rows needs."""
        most = -(-num_rows // self.world_size)
        return -(-most // batch_size)


WHOLE = Shard()  # one process alone


def order_training(
    lengths: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    by_length: bool,
    shard: Shard = WHOLE,
) -> list[np.ndarray]:
    """Shuffled batches of row numbers, a pure function of the arguments.

    Args:
        lengths: [R] tokens of each row.
        batch_size: rows in a batch.
        seed: of the run.
        epoch: every one has its own order.
        by_length: rows are sorted by length within every few batches, so that padding is short. The order of the
            batches is shuffled again.
        shard: the part of the rows that this process takes, another one in every epoch.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))[shard.rank :: shard.world_size]
    points = cut_points(len(order), batch_size, shard.count_batches(len(lengths), batch_size))
    return cut_mixed(order, lengths, points, batch_size, generator, by_length=by_length)


def cut_mixed(
    order: np.ndarray,
    lengths: np.ndarray,
    points: np.ndarray,
    batch_size: int,
    generator: np.random.Generator,
    *,
    by_length: bool,
) -> list[np.ndarray]:
    """Batches of shuffled rows; `by_length` as for `order_training`.

    Args:
        order: [R] row numbers, shuffled.
        lengths: of the rows with these numbers.
        points: [batches + 1] where `order` is cut.
        batch_size: rows of most batches.
        generator: shuffles the batches.
        by_length: see there.
    """
    if not by_length or not len(order):
        return cut_at(order, points)
    chunks = cut_batches(order, batch_size * BUCKET_BATCHES)
    sorted_chunks = [chunk[np.argsort(lengths[chunk], kind="stable")] for chunk in chunks]
    batches = cut_at(np.concatenate(sorted_chunks), points)
    return [batches[i] for i in generator.permutation(len(batches))]


def order_evaluation(
    lengths: np.ndarray, batch_size: int, shard: Shard = WHOLE
) -> list[np.ndarray]:
    """Batches of rows of similar length, the longest first: what does not fit in memory fails at once."""
    order = np.argsort(-lengths, kind="stable")[shard.rank :: shard.world_size]
    return cut_batches(order, batch_size, shard.count_batches(len(lengths), batch_size))


def cut_batches(
    order: np.ndarray, batch_size: int, num_batches: int | None = None
) -> list[np.ndarray]:
    """Consecutive pieces; the last one may be smaller. See `cut_points`."""
    return cut_at(order, cut_points(len(order), batch_size, num_batches))


def cut_at(order: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """The pieces between consecutive points."""
    return [order[start:end] for start, end in itertools.pairwise(points.tolist())]


def cut_points(num_rows: int, batch_size: int, num_batches: int | None = None) -> np.ndarray:
    """Where batches begin and end, [batches + 1].

    Args:
        num_rows: to cut.
        batch_size: rows of each batch but the last.
        num_batches: None: as many as needed; one more gives the last batch a row of the one before.

    Raises:
        ValueError: there are fewer rows than batches.
    """
    needed = -(-num_rows // batch_size)
    num_batches = needed if num_batches is None else num_batches
    if num_rows < num_batches:
        raise ValueError(
            f"{num_rows} rows cannot be {num_batches} batches, as many as another process has; use a larger batch size, "
            "or leave out rows until their number is a multiple of the number of processes"
        )
    points = np.minimum(np.arange(num_batches + 1) * batch_size, num_rows)
    if num_batches > needed:
        points[-2] -= 1
    return points


def pack(table: TokenizedTable, rows: np.ndarray) -> Tokens:
    """The rows one after the other, for the packed kernels: ids [N], cu_seqlens [B + 1]."""
    batch = gather_rows(table, rows)
    types = None
    if batch.second is not None:
        place = np.arange(len(batch.ids)) - np.repeat(batch.offsets[:-1], batch.lengths)
        types = mx.array((place >= np.repeat(batch.second, batch.lengths)).astype(np.int32))
    starts = mx.array(batch.offsets.astype(np.int32))
    return Tokens(mx.array(batch.ids), cu_seqlens=starts, token_type_ids=types)


def pad(table: TokenizedTable, rows: np.ndarray, multiple: int, pad_token_id: int) -> Tokens:
    """The rows filled up to one length, a multiple of `multiple`: ids [B, T] and a mask, true on real tokens."""
    batch = gather_rows(table, rows)
    width = -(-max(int(batch.lengths.max(initial=1)), 1) // multiple) * multiple
    mask = np.arange(width) < batch.lengths[:, None]
    ids = np.full(mask.shape, pad_token_id, dtype=np.int32)
    ids[mask] = batch.ids
    types = None
    if batch.second is not None:
        is_second = mask & (np.arange(width) >= batch.second[:, None])
        types = mx.array(is_second.astype(np.int32))
    return Tokens(mx.array(ids), attention_mask=mx.array(mask), token_type_ids=types)
