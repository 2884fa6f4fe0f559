"""StreamingLoader: files larger than memory, in chunks that threads read and tokenise ahead."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple

import mlx.core as mx
import numpy as np
import polars as pl

from bert_playground.data.core.types import Batch
from bert_playground.data.loaders.batching import Shard, cut_at, cut_mixed, cut_points
from bert_playground.data.loaders.mlx_loader import MLXLoader
from bert_playground.data.reading.prefetching import prefetch
from bert_playground.data.reading.table_stream import Chunk, TableStream
from bert_playground.data.tokens.token_table import TokenizedTable, concat_tables, take_rows
from bert_playground.data.tokens.tokenizer import without_remarks

BUFFER_CHUNKS = 8


class _Buffer(NamedTuple):
    """Rows of several chunks, tokenised."""

    table: TokenizedTable
    numbers: np.ndarray  # [R] of its rows in the whole table


class StreamingLoader:
    """Batches of a table that is read anew in every epoch; the order is a pure function of (seed, epoch).

    Shuffled, the chunks of the files come in a random order, and the rows of `buffer_chunks` consecutive ones are mixed
    with each other: rows far apart in a file sorted by class or time still meet in a batch, but not every order of rows
    is possible, as it is with `MLXLoader`. A batch between two buffers takes rows of both, so all batches but the last
    are full. Memory holds two buffers, whatever the size of the files.

    Not shuffled, batches follow the table, rows sorted by length within a buffer.

    Args:
        stream: the rows.
        encode: chunk, every cell as text → its tokens and labels, such as `pipeline.tokenize`.
        labels: [R] or [R, L] of the whole stream where they are known, for those who ask; batches have those of `encode`.
        batch_size: rows in a batch; the last one may have fewer.
        shuffle: for training.
        seed: of the order.
        layout: "packed" for the native kernels, "padded" for everything else.
        pad_token_id: fills padded rows.
        buffer_chunks: chunks whose rows are mixed.
        prefetch_size: batches prepared ahead, and a buffer of chunks; 0: nothing is, and there are no threads.
        num_workers: threads that read and tokenise chunks; the order does not depend on them.
        rank: of this process among those that train together. It reads its own part of the files alone, the same one in
            every epoch.
        world_size: the number of these processes; each row goes to one of them, and all have equally many batches. The
            last batch of each has what is left, at least one row.
        augment: chunk, numbers of its rows in the whole table, epoch → its tokens and labels as the epoch sees them, a
            pure function; None: `encode` in every epoch.
    """

    def __init__(
        self,
        stream: TableStream,
        encode: Callable[[pl.DataFrame], TokenizedTable],
        *,
        labels: np.ndarray | None = None,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        layout: Literal["packed", "padded"] = "padded",
        pad_token_id: int = 0,
        buffer_chunks: int = BUFFER_CHUNKS,
        prefetch_size: int = 4,
        num_workers: int = 2,
        rank: int = 0,
        world_size: int = 1,
        augment: Callable[[pl.DataFrame, np.ndarray, int], TokenizedTable] | None = None,
    ) -> None:
        """Remember what to read; nothing is read yet."""
        if batch_size < 1 or buffer_chunks < 1:
            raise ValueError(
                f"batch_size is {batch_size} and buffer_chunks {buffer_chunks}, expected at least 1 each"
            )
        if layout not in ("packed", "padded"):
            raise ValueError(f"layout is {layout!r}, expected 'packed' or 'padded'")
        self._whole = stream
        self.encode = encode
        self.labels = labels
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.layout: Literal["packed", "padded"] = layout
        self.pad_token_id = pad_token_id
        self.buffer_chunks = buffer_chunks
        self.prefetch_size = prefetch_size
        self.num_workers = num_workers
        self.augment = augment
        self._take_part(Shard(rank, world_size).checked())

    def _take_part(self, shard: Shard) -> None:
        """Read the rows of one process alone, in as many batches as the one with the most rows needs."""
        total, size = self._whole.num_rows, shard.world_size
        part = slice(total * shard.rank // size, total * (shard.rank + 1) // size)
        self.shard = shard
        self.stream = self._whole if size == 1 else self._whole.select(self._whole.rows[part])
        self.num_rows = self.stream.num_rows
        most = -(-total // size)
        self._points = cut_points(self.num_rows, self.batch_size, -(-most // self.batch_size))

    def share(self, rank: int, world_size: int) -> "StreamingLoader":
        """The part of one of several processes, which take as many rows in a step as this loader.

        They are not those of this loader's steps: each process mixes the rows of its own part of the files.

        Raises:
            ValueError: a batch cannot be divided evenly.
        """
        if self.batch_size % world_size:
            raise ValueError(
                f"a step has {self.batch_size} rows, which {world_size} processes cannot share evenly, as a streamed table "
                "needs; take another number of processes"
            )
        part = copy(self)
        part.batch_size = self.batch_size // world_size
        part._take_part(Shard(rank, world_size).checked())
        return part

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._points) - 1

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.iterate()

    def iterate(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch number `start` on; the chunks before it are not read.

        Raises:
            ValueError: rows that cannot be encoded; says which chunk they are of.
            RuntimeError: anything else that went wrong in a thread, with its chunk and the original error.
        """
        return prefetch(
            self._make_batch,
            self._gather(epoch, start),
            self.prefetch_size,
            min(self.num_workers, 1),
        )

    def sample(self, fraction: float, seed: int) -> "StreamingLoader":
        """A loader like this one for a part of its rows, drawn without replacement; at least one row."""
        total = self._whole.num_rows
        count = max(1, round(fraction * total))
        drawn = np.sort(np.random.default_rng(seed).permutation(total)[:count])
        part = copy(self)
        part._whole = self._whole.select(self._whole.rows[drawn])
        part.labels = None if self.labels is None else self.labels[drawn]
        part._take_part(self.shard)
        return part

    def _make_batch(self, rows: _Buffer) -> Batch:
        maker = MLXLoader(rows.table, layout=self.layout, pad_token_id=self.pad_token_id)
        batch = maker.make_batch(np.arange(rows.table.num_rows))
        return batch._replace(rows=mx.array(rows.numbers.astype(np.int32)))

    def _gather(self, epoch: int, start: int) -> Iterator[_Buffer]:
        """The rows of each batch from batch number `start` on."""
        if start >= len(self):
            return
        generator = np.random.default_rng((self.seed, epoch))
        count = len(self.stream.chunks)
        numbers = generator.permutation(count) if self.shuffle else np.arange(count)
        chunks = [self.stream.chunks[i] for i in numbers]
        groups = [chunks[i : i + self.buffer_chunks] for i in range(0, count, self.buffer_chunks)]
        ends = np.cumsum([sum(chunk.num_rows for chunk in group) for group in groups])
        first = int(np.searchsorted(ends, self._points[start], side="right"))
        begin = int(ends[first - 1]) if first else 0
        pieces: list[_Buffer] = []  # of a batch that a buffer ended in
        for i, buffer in enumerate(self._read_buffers(groups[first:], epoch), first):
            end = begin + buffer.table.num_rows
            order = np.arange(end - begin)
            generator = np.random.default_rng((self.seed, epoch, i))
            if self.shuffle:
                order = generator.permutation(order)
            # Batches low to high - 1 are whole in this buffer; low - 1 may end in it, and high may begin in it.
            low = int(np.searchsorted(self._points, begin))
            high = max(int(np.searchsorted(self._points, end, side="right")) - 1, low - 1)
            head = min(int(self._points[low]), end) - begin
            if head and (low - 1 >= start):
                pieces.append(_take(buffer, order[:head]))
                if begin + head == self._points[low]:
                    yield _join(pieces)
                    pieces = []
            if high >= low:
                points = self._points[low : high + 1] - begin
                batches = self._arrange(order, buffer.table.lengths, points, generator)
                for rows in batches[max(start - low, 0) :]:
                    yield _take(buffer, rows)
                if points[-1] < len(order) and high >= start:
                    pieces.append(_take(buffer, order[points[-1] :]))
            begin = end

    def _arrange(
        self,
        order: np.ndarray,
        lengths: np.ndarray,
        points: np.ndarray,
        generator: np.random.Generator,
    ) -> list[np.ndarray]:
        """The batches that are whole in a buffer."""
        inside, points = order[points[0] : points[-1]], points - points[0]
        if not self.shuffle:
            return cut_at(inside[np.argsort(-lengths[inside], kind="stable")], points)
        by_length = self.layout == "padded"
        return cut_mixed(inside, lengths, points, self.batch_size, generator, by_length=by_length)

    def _read_buffers(self, groups: Sequence[Sequence[Chunk]], epoch: int) -> Iterator[_Buffer]:
        chunks = [chunk for group in groups for chunk in group]
        ahead = max(self.buffer_chunks, self.num_workers) if self.prefetch_size else 0
        tables = prefetch(partial(self._read, epoch=epoch), chunks, ahead, self.num_workers)
        for group in groups:
            read = list(islice(tables, len(group)))
            numbers = np.concatenate([chunk.rows for chunk in group])
            yield _Buffer(concat_tables(read), numbers)

    def _read(self, chunk: Chunk, epoch: int) -> TokenizedTable:
        with _named_errors(chunk), without_remarks():
            if self.augment is not None:
                return self.augment(chunk.read(), chunk.rows, epoch)
            return self.encode(chunk.read())


def encode_stream(stream: TableStream, encode: Callable[[pl.DataFrame], np.ndarray]) -> np.ndarray:
    """What `encode` makes of all rows, such as their labels, chunk by chunk.

    Raises:
        ValueError: rows that cannot be encoded; says which chunk they are of.
    """
    parts = []
    for chunk in stream.chunks:
        with _named_errors(chunk):
            parts.append(encode(chunk.read()))
    return np.concatenate(parts)


@contextmanager
def _named_errors(chunk: Chunk) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{chunk}: {error}") from error
    except Exception as error:
        raise RuntimeError(f"{chunk}: {type(error).__name__}: {error}") from error


def _take(buffer: _Buffer, rows: np.ndarray) -> _Buffer:
    return _Buffer(take_rows(buffer.table, rows), buffer.numbers[rows])


def _join(pieces: Sequence[_Buffer]) -> _Buffer:
    numbers = np.concatenate([piece.numbers for piece in pieces])
    return _Buffer(concat_tables([piece.table for piece in pieces]), numbers)
