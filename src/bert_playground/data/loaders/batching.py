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
    """One of several processes that train together: each takes its part of every step's rows, and all take equally many steps."""

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

    def cut(self, num_rows: int, step_rows: int) -> np.ndarray:
        """Where the steps of all processes together begin and end, [steps + 1]; see `cut_points`."""
        return cut_points(num_rows, step_rows, fewest=self.world_size)

    def count_rows(self, num_rows: int, step_rows: int) -> int:
        """Of so many rows in all, those of this process."""
        if self.world_size == 1:
            return num_rows
        sizes = np.diff(self.cut(num_rows, step_rows))
        return int((-(-(sizes - self.rank) // self.world_size)).sum())

    def take(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Its part of one step: long and short rows are dealt out in turn, so that all have about as many tokens.

        Args:
            rows: of the step.
            lengths: of all rows of the table.
        """
        if self.world_size == 1:
            return rows
        order = rows[np.argsort(-lengths[rows], kind="stable")]
        whole = len(order) // self.world_size
        rounds = order[: whole * self.world_size].reshape(whole, self.world_size)
        # Back and forth: who takes the longer row of one round takes the shorter one of the next.
        taken = np.where(
            np.arange(whole) % 2 == 0,
            rounds[:, self.rank],
            rounds[:, self.world_size - 1 - self.rank],
        )
        rest = order[whole * self.world_size :]
        return np.concatenate([taken, rest[self.rank : self.rank + 1]])


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
        batch_size: rows of a step, of all processes together.
        seed: of the run.
        epoch: every one has its own order.
        by_length: rows are sorted by length within every few batches, so that padding is short. The order of the
            batches is shuffled again.
        shard: the part that this process takes of each batch; together they are those of one process alone.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    points = shard.cut(len(order), batch_size)
    batches = cut_mixed(order, lengths, points, batch_size, generator, by_length=by_length)
    return [shard.take(rows, lengths) for rows in batches]


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
    order = np.argsort(-lengths, kind="stable")
    batches = cut_at(order, shard.cut(len(order), batch_size))
    return [shard.take(rows, lengths) for rows in batches]


def cut_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Consecutive pieces; the last one may be smaller."""
    return cut_at(order, cut_points(len(order), batch_size))


def cut_at(order: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """The pieces between consecutive points."""
    return [order[start:end] for start, end in itertools.pairwise(points.tolist())]


def cut_points(
    num_rows: int, batch_size: int, num_batches: int | None = None, fewest: int = 1
) -> np.ndarray:
    """Where batches begin and end, [batches + 1].

    Args:
        num_rows: to cut.
        batch_size: rows of each batch but the last.
        num_batches: None: as many as needed; one more gives the last batch a row of the one before.
        fewest: rows of the last batch, which takes what it lacks from the one before: one for each process.

    Raises:
        ValueError: there are too few rows.
    """
    needed = -(-num_rows // batch_size)
    num_batches = needed if num_batches is None else num_batches
    points = np.minimum(np.arange(num_batches + 1) * batch_size, num_rows)
    if num_batches > needed:
        points[-2] -= 1
    if num_batches and num_rows - points[-2] < fewest:
        points[-2] = num_rows - fewest
    if num_rows < num_batches * fewest or np.diff(points).min(initial=fewest) < fewest:
        raise ValueError(
            f"{num_rows} rows cannot be {num_batches} batches, as many as another process has; use a larger batch size, "
            "or leave out rows until their number is a multiple of the number of processes"
        )
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
