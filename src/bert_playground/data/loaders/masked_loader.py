"""MaskedLoader: batches with tokens masked, other ones in each epoch; the masked tokens are the labels."""

from collections.abc import Iterator, Sequence
from copy import copy

import mlx.core as mx
import numpy as np

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import pack, pad
from bert_playground.data.loaders.mlx_loader import PAD_MULTIPLE, MLXLoader
from bert_playground.data.reading.prefetching import prefetch
from bert_playground.data.tokens.masking import MaskedTokens, Masking, has_words
from bert_playground.data.tokens.token_table import TokenizedTable, take_rows


class MaskedLoader:
    """The batches of a loader with tokens masked; which ones is a pure function of (seed, epoch, batch number).

    In its batches `labels` are the masked tokens [M], `tokens.masked_positions` tells where they stood, and `rows` are the numbers
    of these tokens in the table.
    """

    def __init__(
        self,
        loader: MLXLoader,
        masking: Masking,
        seed: int = 0,
        number_tokens: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Wrap a loader; its labels are not looked at.

        Args:
            loader: of the rows.
            masking: which tokens are masked.
            seed: see above.
            number_tokens: for each number of a row the ids [first, last + 1) that its value is added to.

        Raises:
            ValueError: some rows have no token to mask.
        """
        has_word = has_words(loader.table, masking)
        if not has_word.all():
            raise ValueError(
                f"{int((~has_word).sum())} of {loader.num_rows} rows have no token to mask; leave them out"
            )
        self.loader = loader
        self.masking = masking
        self.seed = seed
        self.number_tokens = number_tokens
        self.num_rows = loader.num_rows

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch number `start` on; skipping costs nothing."""
        batches = list(enumerate(self.loader.order(epoch)))[start:]

        rank = (self.loader.shard.rank,) if self.loader.shard.world_size > 1 else ()

        def make(numbered: tuple[int, np.ndarray]) -> Batch:
            return self.make_batch(numbered[1], (self.seed, epoch, numbered[0], *rank))

        return prefetch(make, batches, self.loader.prefetch_size, self.loader.num_workers)

    def share(self, rank: int, world_size: int) -> "MaskedLoader":
        """The part of one of several processes, of the same rows in each step; it masks other tokens of them."""
        part = copy(self)
        part.loader = self.loader.share(rank, world_size)
        part.num_rows = part.loader.num_rows
        return part

    def make_batch(self, rows: np.ndarray, seed: tuple[int, ...]) -> Batch:
        """These rows as one batch; `seed` decides which tokens are masked."""
        table, is_padded = self.loader.table, self.loader.layout == "padded"
        batch = take_rows(table, rows)
        masked = self.masking.mask(batch.ids, np.random.default_rng(seed), few_counts=is_padded)
        row = np.searchsorted(batch.offsets, masked.positions, side="right") - 1
        column = masked.positions - batch.offsets[row]
        seen, everything = (
            TokenizedTable(masked.ids, batch.offsets, second=batch.second),
            np.arange(len(rows)),
        )
        if batch.numbers is not None:
            seen = seen._replace(numbers=self._hide_values(batch.numbers, batch.ids, masked, row))
        if is_padded:
            tokens = pad(seen, everything, PAD_MULTIPLE, self.loader.pad_token_id)
            positions = row * tokens.input_ids.shape[1] + column
        else:
            tokens, positions = pack(seen, everything), masked.positions
        if seen.numbers is not None:
            tokens = tokens._replace(numbers=mx.array(seen.numbers))
        return Batch(
            tokens._replace(masked_positions=mx.array(positions.astype(np.int32))),
            mx.array(batch.ids[masked.positions]),
            mx.array((table.offsets[rows][row] + column).astype(np.int32)),
        )

    def _hide_values(
        self, numbers: np.ndarray, ids: np.ndarray, masked: MaskedTokens, row: np.ndarray
    ) -> np.ndarray:
        """The numbers without those that a random token would read: it would tell what is masked elsewhere in its row."""
        seen = masked.ids[masked.positions]
        is_random = seen != ids[masked.positions]
        hidden = numbers.copy()
        for number, (start, end) in enumerate(self.number_tokens):
            hidden[row[is_random & (seen >= start) & (seen < end)], number] = np.nan
        return hidden
