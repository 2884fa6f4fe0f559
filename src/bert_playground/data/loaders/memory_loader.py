"""MemoryLoader: a few rows, their batches ready at once (serving, tests)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import cut_batches
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.reading.table import as_text
from bert_playground.data.tokens.token_table import TokenizedTable


class MemoryLoader:
    """Batches of a few rows, in the order given and the same in every epoch, made once and without any thread.

    Args:
        table: ids, row offsets and labels.
        batch_size: rows in a batch; the last one may have fewer.
        layout: "packed" for the native kernels, "padded" for everything else.
        pad_token_id: fills padded rows.
    """

    def __init__(
        self,
        table: TokenizedTable,
        *,
        batch_size: int = 128,
        layout: Literal["packed", "padded"] = "padded",
        pad_token_id: int = 0,
    ) -> None:
        """Make the batches."""
        maker = MLXLoader(table, batch_size=batch_size, layout=layout, pad_token_id=pad_token_id)
        self.labels = table.labels
        self.num_rows = table.num_rows
        rows = cut_batches(np.arange(table.num_rows), batch_size)
        self.batches = tuple(maker.make_batch(batch) for batch in rows)

    @classmethod
    def of_rows(
        cls,
        rows: Sequence[Mapping[str, Any]] | pl.DataFrame,
        encode: Callable[[pl.DataFrame], TokenizedTable],
        **options: Any,
    ) -> Self:
        """Batches of rows as a program has them.

        Args:
            rows: column → value each, or a frame; a column that a row lacks is missing there.
            encode: rows, every cell as text → their tokens, such as `pipeline.tokenize`.
            options: as for the loader itself.

        Raises:
            ValueError: there are no rows, or they cannot be encoded.
        """
        if not len(rows):
            raise ValueError("there are no rows; give at least one")
        frame = (
            rows
            if isinstance(rows, pl.DataFrame)
            else pl.from_dicts([dict(row) for row in rows], infer_schema_length=None, strict=False)
        )
        return cls(encode(as_text(frame)), **options)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        """The batches."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches from number `start` on; every epoch is the same."""
        del epoch
        return islice(self.batches, start, None)
