"""MLXLoader: tokenised arrays, prefetch thread (the default)."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import mlx.core as mx
import numpy as np

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import order_evaluation, order_training, pack, pad
from bert_playground.data.tokenization import TokenizedTable

Item = TypeVar("Item")
PAD_MULTIPLE = 8  # padded lengths are multiples of this, so that compiled graphs see few shapes


class MLXLoader:
    """Batches of a tokenised table; the order is a pure function of (seed, epoch).

    Args:
        table: ids, row offsets and labels.
        batch_size: rows in a batch; the last one may have fewer.
        shuffle: for training; otherwise rows come sorted by length, and `Batch.rows` says which they are.
        layout: "packed" for the native kernels, "padded" for everything else.
        pad_token_id: fills padded rows.
        prefetch_size: batches prepared ahead in a thread; 0: no thread.
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
        self.num_rows = table.num_rows

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.num_rows // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch number `start` on; skipping costs nothing."""
        batches = self.order(epoch)[start:]
        if self.prefetch_size == 0:
            return map(self.make_batch, batches)
        return prefetch(self.make_batch, batches, self.prefetch_size)

    def order(self, epoch: int = 0) -> list[np.ndarray]:
        """The row numbers of each batch of an epoch."""
        if not self.shuffle:
            return order_evaluation(self.table.lengths, self.batch_size)
        return order_training(
            self.table.lengths, self.batch_size, self.seed, epoch, by_length=self.layout == "padded"
        )

    def make_batch(self, rows: np.ndarray) -> Batch:
        """These rows as one batch."""
        if self.layout == "packed":
            tokens = pack(self.table, rows)
        else:
            tokens = pad(self.table, rows, PAD_MULTIPLE, self.pad_token_id)
        labels = None if self.table.labels is None else mx.array(self.table.labels[rows])
        return Batch(tokens, labels, mx.array(rows.astype(np.int32)))


def prefetch(
    make: Callable[[np.ndarray], Item], batches: list[np.ndarray], size: int
) -> Iterator[Item]:
    """Make items in a thread, at most `size` ahead; its errors are raised here, and it ends when this does."""
    items: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=size)
    is_cancelled = threading.Event()

    def work() -> None:
        try:
            for rows in batches:
                if not _offer(items, make(rows), is_cancelled):
                    return
        except BaseException as error:
            _offer(items, error, is_cancelled)
        else:
            _offer(items, None, is_cancelled)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_cancelled.set()
        thread.join()


def _offer(items: queue.Queue[Item], item: Item, is_cancelled: threading.Event) -> bool:
    """Wait for a place in the queue, but not longer than someone listens; whether the item was taken."""
    while not is_cancelled.is_set():
        try:
            items.put(item, timeout=0.05)
        except queue.Full:
            continue
        return True
    return False
