"""Batch, and what every loader can do."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import mlx.core as mx

from bert_playground.tokens import Tokens


class Batch(NamedTuple):
    """One step's worth of rows; a pytree, so it passes through `mx.compile` whole."""

    tokens: Tokens
    labels: mx.array | None  # [B], or None when the table has no target
    rows: (
        mx.array
    )  # [B] int32: which rows of the table these are, so that answers can be put back in order
    weights: mx.array | None = None  # [B], how much each row counts; None: all the same


class Loader(Protocol):
    """Batches of one table, in an order that depends on the seed and the epoch alone.

    MLXLoader holds tokenised arrays, StreamingLoader reads files larger than memory, MemoryLoader has a few rows ready.
    """

    @property
    def num_rows(self) -> int:
        """Rows in an epoch."""
        ...

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch number `start` on; skipping costs nothing."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        ...
