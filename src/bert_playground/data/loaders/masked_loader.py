"""MaskedLoader: batches with tokens masked, other ones in each epoch; the masked tokens are the labels."""

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import pack, pad
from bert_playground.data.loaders.mlx_loader import PAD_MULTIPLE, MLXLoader
from bert_playground.data.reading.prefetching import prefetch
from bert_playground.data.tokens.masking import Masking, has_words
from bert_playground.data.tokens.token_table import TokenizedTable, gather_rows


class MaskedLoader:
    """The batches of a loader with tokens masked; which ones is a pure function of (seed, epoch, batch number).

    In its batches `labels` are the masked tokens [M], `tokens.masked_positions` tells where they stood, and `rows` are the numbers
    of these tokens in the table.
    """

    def __init__(self, loader: MLXLoader, masking: Masking, seed: int = 0) -> None:
        """Wrap a loader; its labels are not looked at.

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

        def make(numbered: tuple[int, np.ndarray]) -> Batch:
            return self.make_batch(numbered[1], (self.seed, epoch, numbered[0]))

        return prefetch(make, batches, self.loader.prefetch_size, self.loader.num_workers)

    def make_batch(self, rows: np.ndarray, seed: tuple[int, ...]) -> Batch:
        """These rows as one batch; `seed` decides which tokens are masked."""
        table, is_padded = self.loader.table, self.loader.layout == "padded"
        batch = gather_rows(table, rows)
        masked = self.masking.mask(batch.ids, np.random.default_rng(seed), few_counts=is_padded)
        row = np.searchsorted(batch.offsets, masked.positions, side="right") - 1
        column = masked.positions - batch.offsets[row]
        seen, everything = (
            TokenizedTable(masked.ids, batch.offsets, second=batch.second),
            np.arange(len(rows)),
        )
        if is_padded:
            tokens = pad(seen, everything, PAD_MULTIPLE, self.loader.pad_token_id)
            positions = row * tokens.input_ids.shape[1] + column
        else:
            tokens, positions = pack(seen, everything), masked.positions
        return Batch(
            tokens._replace(masked_positions=mx.array(positions.astype(np.int32))),
            mx.array(batch.ids[masked.positions]),
            mx.array((table.offsets[rows][row] + column).astype(np.int32)),
        )
