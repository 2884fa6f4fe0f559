"""Order, bucket by length, pack or pad: rows → Tokens."""

import mlx.core as mx
import numpy as np

from bert_playground.data.tokenization import TokenizedTable, gather_rows
from bert_playground.tokens import Tokens

BUCKET_BATCHES = (
    8  # batches whose rows are sorted by length together: less padding, still well mixed
)


def order_training(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, *, by_length: bool
) -> list[np.ndarray]:
    """Shuffled batches of row numbers, a pure function of the arguments.

    Args:
        lengths: [R] tokens of each row.
        batch_size: rows in a batch.
        seed: of the run.
        epoch: every one has its own order.
        by_length: rows are sorted by length within every few batches, so that padding is short. The order of the
            batches is shuffled again.
    """
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    if not by_length:
        return cut_batches(order, batch_size)
    chunks = cut_batches(order, batch_size * BUCKET_BATCHES)
    sorted_chunks = [chunk[np.argsort(lengths[chunk], kind="stable")] for chunk in chunks]
    batches = cut_batches(np.concatenate(sorted_chunks), batch_size) if sorted_chunks else []
    return [batches[i] for i in generator.permutation(len(batches))]


def order_evaluation(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches of rows of similar length, the longest first: what does not fit in memory fails at once."""
    return cut_batches(np.argsort(-lengths, kind="stable"), batch_size)


def cut_batches(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Consecutive pieces; the last one may be smaller."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def pack(table: TokenizedTable, rows: np.ndarray) -> Tokens:
    """The rows one after the other, for the packed kernels: ids [N], cu_seqlens [B + 1]."""
    batch = gather_rows(table, rows)
    return Tokens(mx.array(batch.ids), cu_seqlens=mx.array(batch.offsets.astype(np.int32)))


def pad(table: TokenizedTable, rows: np.ndarray, multiple: int, pad_token_id: int) -> Tokens:
    """The rows filled up to one length, a multiple of `multiple`: ids [B, T] and a mask, true on real tokens."""
    batch = gather_rows(table, rows)
    width = -(-max(int(batch.lengths.max(initial=1)), 1) // multiple) * multiple
    mask = np.arange(width) < batch.lengths[:, None]
    ids = np.full(mask.shape, pad_token_id, dtype=np.int32)
    ids[mask] = batch.ids
    return Tokens(mx.array(ids), attention_mask=mx.array(mask))
