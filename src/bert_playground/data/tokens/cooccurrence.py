"""cooccurrence_vectors: vectors of tokens that are alike where the tokens stand in the same company."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from bert_playground.data.tokens.token_table import TokenizedTable, gather_rows

MOST_PAIRS = 50_000_000  # that are counted: a few seconds
EVERYWHERE = 0.98  # share of rows from which on a token tells nothing of its company
# Pairs that are added to those seen and to those expected, so that rare ones say little.
PRIOR = 1.0


def cooccurrence_vectors(table: TokenizedTable, num_entries: int, size: int) -> np.ndarray:
    """Vectors [V, size] f32 whose squares have the mean 1; zeros for tokens that tell nothing of others.

    Of each two tokens the positive part of log((together + 1) / (expected + 1)) is taken, where `together` are the rows
    that have both, and `expected` those that would if they met by chance; the vectors are its eigenvectors of the largest
    eigenvalues, each times the root of its own, turned so that all dimensions carry alike. The same rows give the same.

    Args:
        table: the rows; where they have more than `MOST_PAIRS` pairs, evenly spread ones of them are counted.
        num_entries: V, of the vocabulary.
        size: of a vector.

    Reference: Levy and Goldberg 2014, Neural Word Embedding as Implicit Matrix Factorization.
    """
    rows = _choose_rows(table)
    association = _associate(rows, num_entries)
    vectors = _decompose(association, size)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))
    vectors = vectors @ turn
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    is_known = np.asarray(association.getnnz(axis=1) > 0)[:, None]
    scaled = vectors * (np.sqrt(size) / np.maximum(norms, 1e-12))
    return np.where(is_known & (norms > 1e-6), scaled, 0.0).astype(np.float32)


def _decompose(association: sp.csr_matrix, size: int) -> np.ndarray:
    """Vectors [V, size] whose products are near the association of their tokens; columns of zeros where it has no more."""
    num_entries = association.shape[0]
    rank = min(2 * size, num_entries)
    left, values, right = randomized_svd(association, rank, n_iter=4, random_state=0)
    # A token is not associated with itself, so some eigenvalues are below 0: they would push tokens of one company apart.
    kept = np.flatnonzero((left * right.T).sum(axis=0) > 0)[:size]
    vectors = np.zeros((num_entries, size))
    vectors[:, : len(kept)] = left[:, kept] * np.sqrt(values[kept])
    return vectors


def _choose_rows(table: TokenizedTable) -> TokenizedTable:
    pairs = float(np.square(table.lengths.astype(np.float64)).sum())
    if pairs <= MOST_PAIRS:
        return table
    count = max(1, int(table.num_rows * MOST_PAIRS / pairs))
    return gather_rows(table, np.linspace(0, table.num_rows - 1, count).astype(np.int64))


def _associate(rows: TokenizedTable, num_entries: int) -> sp.csr_matrix:
    """Positive association of each two tokens, [V, V]."""
    ones = np.ones(len(rows.ids), np.float32)
    shape = (rows.num_rows, num_entries)
    has = sp.csr_matrix((ones, rows.ids.astype(np.int64), rows.offsets), shape=shape)
    has.sum_duplicates()
    has.data[:] = 1.0
    count = np.asarray(has.sum(axis=0), np.float64).ravel()
    tells = count < EVERYWHERE * rows.num_rows
    pairs = (has.T @ has).tocoo()
    kept = (pairs.row != pairs.col) & tells[pairs.row] & tells[pairs.col]
    first, second, together = pairs.row[kept], pairs.col[kept], pairs.data[kept]
    expected = count[first] * count[second] / rows.num_rows
    strength = np.log((together + PRIOR) / (expected + PRIOR))
    is_positive = strength > 0
    places = (first[is_positive], second[is_positive])
    return sp.csr_matrix((strength[is_positive], places), shape=(num_entries, num_entries))
