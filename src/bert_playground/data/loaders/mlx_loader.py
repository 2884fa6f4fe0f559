"""MLXLoader: tokenised arrays, batches made ahead in threads (the default)."""

from collections.abc import Iterator
from copy import copy
from typing import Literal

import mlx.core as mx
import numpy as np

from bert_playground.data.core.token_rows import TokenizedTable, take_rows
from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import Shard, order_evaluation, order_training, pack, pad
from bert_playground.data.loaders.prefetching import prefetch

PAD_MULTIPLE = 8  # padded lengths are multiples of this, so that compiled graphs see few shapes


class MLXLoader:
    """Batches of a tokenised table; the order is a pure function of (seed, epoch).

    Args:
        table: ids, row offsets and labels.
        batch_size: rows in a batch; the last one may have fewer.
        shuffle: for training; otherwise rows come sorted by length, and `Batch.rows` says which they are.
        layout: "packed" for the native kernels, "padded" for everything else.
        pad_token_id: fills padded rows.
        prefetch_size: batches prepared ahead in threads; 0: no thread.
        num_workers: these threads; the order does not depend on them.
        rank: of this process among those that train together.
        world_size: the number of these processes; each row goes to one of them, and all have equally many batches.
    """

    def __init__(
        self,
        table: TokenizedTable,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        layout: Literal["packed", "padded"] = "padded",
        pad_token_id: int = 0,
        prefetch_size: int = 4,
        num_workers: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Take the arrays as they are; nothing is copied."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        if layout not in ("packed", "padded"):
            raise ValueError(f"layout is {layout!r}, expected 'packed' or 'padded'")
        self.table = table
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.layout = layout
        self.pad_token_id = pad_token_id
        self.prefetch_size = prefetch_size
        self.num_workers = num_workers
        self.shard = Shard(rank, world_size).checked()

    @property
    def num_rows(self) -> int:
        """Rows in the batches of this process."""
        return self.shard.count_rows(self.table.num_rows)

    @property
    def labels(self) -> np.ndarray | None:
        """[R] or [R, L], in the order of the table; None when it has no target."""
        return self.table.labels

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.shard.count_batches(self.table.num_rows, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch number `start` on; skipping costs nothing."""
        batches = self.order(epoch)[start:]
        return prefetch(self.make_batch, batches, self.prefetch_size, self.num_workers)

    def order(self, epoch: int = 0) -> list[np.ndarray]:
        """The row numbers of each batch of an epoch."""
        if not self.shuffle:
            return order_evaluation(self.table.lengths, self.batch_size, self.shard)
        return order_training(
            self.table.lengths,
            self.batch_size,
            self.seed,
            epoch,
            by_length=self.layout == "padded",
            shard=self.shard,
        )

    def sample(self, fraction: float, seed: int) -> "MLXLoader":
        """A loader like this one for a part of its rows, drawn without replacement; at least one row."""
        table, drawn = self.table, copy(self)
        count = max(1, round(fraction * table.num_rows))
        is_drawn = np.zeros(table.num_rows, dtype=bool)
        is_drawn[np.random.default_rng(seed).permutation(table.num_rows)[:count]] = True
        drawn.table = take_rows(table, np.flatnonzero(is_drawn))
        return drawn

    def make_batch(self, rows: np.ndarray) -> Batch:
        """These rows as one batch."""
        if self.layout == "packed":
            tokens = pack(self.table, rows)
        else:
            tokens = pad(self.table, rows, PAD_MULTIPLE, self.pad_token_id)
        labels = None if self.table.labels is None else mx.array(self.table.labels[rows])
        return Batch(tokens, labels, mx.array(rows.astype(np.int32)))
