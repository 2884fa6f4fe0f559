"""MLXLoader: tokenised arrays, batches made ahead in threads (the default)."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import Literal

import mlx.core as mx
import numpy as np

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import Shard, order_evaluation, order_training, pack, pad
from bert_playground.data.reading.prefetching import prefetch
from bert_playground.data.tokens.token_table import TokenizedTable, take_rows

PAD_MULTIPLE = 8  # padded lengths are multiples of this, so that compiled graphs see few shapes


class MLXLoader:
    """Batches of a tokenised table; the order is a pure function of (seed, epoch).

    Args:
        table: ids, row offsets and labels.
        batch_size: rows in a batch; the last ones may have fewer.
        shuffle: for training; otherwise rows come sorted by length, and `Batch.rows` says which they are.
        layout: "packed" for the native kernels, "padded" for everything else.
        pad_token_id: fills padded rows.
        prefetch_size: batches prepared ahead in threads; 0: no thread.
        num_workers: these threads; the order does not depend on them.
        rank: of this process among those that train together.
        world_size: the number of these processes; each row goes to one of them, and all have equally many batches.
        augment: numbers of rows, epoch → these rows as the epoch sees them, with their labels; a pure function. None:
            every epoch sees `table`.
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
        augment: Callable[[np.ndarray, int], TokenizedTable] | None = None,
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
        self._step_rows = batch_size * world_size
        self.augment = augment
        self._numbers = np.arange(table.num_rows)  # of the rows, for `augment`
        self._changed: tuple[int, TokenizedTable] | None = None  # the last epoch that was asked for

    @property
    def num_rows(self) -> int:
        """Rows in the batches of this process."""
        return self.shard.count_rows(self.table.num_rows, self._step_rows)

    @property
    def labels(self) -> np.ndarray | None:
        """[R] or [R, L], in the order of the table; None when it has no target."""
        return self.table.labels

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.shard.cut(self.table.num_rows, self._step_rows)) - 1

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch number `start` on; skipping costs nothing."""
        table, batches = self.table_of(epoch), self.order(epoch)[start:]
        make = partial(self.make_batch, table=table)
        return prefetch(make, batches, self.prefetch_size, self.num_workers)

    def table_of(self, epoch: int) -> TokenizedTable:
        """The rows as an epoch sees them; those of one epoch are kept."""
        if self.augment is None:
            return self.table
        if self._changed is None or self._changed[0] != epoch:
            self._changed = None  # two epochs are never held at once
            self._changed = (epoch, self.augment(self._numbers, epoch))
        return self._changed[1]

    def order(self, epoch: int = 0) -> list[np.ndarray]:
        """The row numbers of each batch of an epoch."""
        if not self.shuffle:
            return order_evaluation(self.table.lengths, self._step_rows, self.shard)
        return order_training(
            self.table_of(epoch).lengths,
            self._step_rows,
            self.seed,
            epoch,
            by_length=self.layout == "padded",
            shard=self.shard,
        )

    def share(self, rank: int, world_size: int) -> "MLXLoader":
        """The part of one of several processes: together their batches are those of this loader.

        The last step of an epoch has a row for each of them, taken from the one before where it has fewer.
        """
        part = copy(self)
        part.shard = Shard(rank, world_size).checked()
        return part

    def sample(self, fraction: float, seed: int) -> "MLXLoader":
        """A loader like this one for a part of its rows, drawn without replacement; at least one row."""
        table, drawn = self.table, copy(self)
        count = max(1, round(fraction * table.num_rows))
        is_drawn = np.zeros(table.num_rows, dtype=bool)
        is_drawn[np.random.default_rng(seed).permutation(table.num_rows)[:count]] = True
        drawn.table = take_rows(table, np.flatnonzero(is_drawn))
        drawn._numbers, drawn._changed = self._numbers[is_drawn], None
        return drawn

    def make_batch(self, rows: np.ndarray, table: TokenizedTable | None = None) -> Batch:
        """These rows as one batch; of the loader's table, or of another one with the same rows."""
        table = self.table if table is None else table
        if self.layout == "packed":
            tokens = pack(table, rows)
        else:
            tokens = pad(table, rows, PAD_MULTIPLE, self.pad_token_id)
        if table.numbers is not None:
            tokens = tokens._replace(numbers=mx.array(table.numbers[rows]))
        labels = None if table.labels is None else mx.array(table.labels[rows])
        # A changed table has its rows in the same order.
        weights = None if self.table.weights is None else mx.array(self.table.weights[rows])
        return Batch(tokens, labels, mx.array(rows.astype(np.int32)), weights)
