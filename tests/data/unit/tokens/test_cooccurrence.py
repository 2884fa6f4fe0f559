"""Vectors of tokens by the rows that they share."""

import numpy as np
import pytest

from bert_playground.data.tokens import cooccurrence
from bert_playground.data.tokens.cooccurrence import cooccurrence_vectors
from bert_playground.data.tokens.token_table import TokenizedTable, offsets_of

EVERYWHERE, NOWHERE, FIRST_TOPIC, SECOND_TOPIC = 0, 9, (1, 2, 3, 4), (5, 6, 7, 8)


@pytest.fixture
def topics() -> TokenizedTable:
    """Rows of three tokens of one topic behind a token that all rows have."""
    random = np.random.default_rng(0)
    rows = [
        [EVERYWHERE, *random.permutation(topic)[:3]]
        for topic in (FIRST_TOPIC, SECOND_TOPIC)
        for _ in range(50)
    ]
    return TokenizedTable(
        np.array(rows, np.int32).ravel(), offsets_of(np.array([len(row) for row in rows]))
    )


def similarity(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors @ vectors.T) / vectors.shape[1]


def test_tokens_in_the_same_company_are_alike(topics: TokenizedTable) -> None:
    alike = similarity(cooccurrence_vectors(topics, 10, 4))
    assert alike[1, 2:5].min() > 0.9
    assert abs(alike[1, 5:9]).max() < 0.1


def test_vectors_are_as_large_as_random_ones(topics: TokenizedTable) -> None:
    vectors = cooccurrence_vectors(topics, 10, 4)
    assert vectors.shape == (10, 4)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.square(vectors[1:9]).mean(axis=1), 1.0, rtol=1e-5)


def test_tokens_of_every_row_and_of_none_have_no_vector(topics: TokenizedTable) -> None:
    vectors = cooccurrence_vectors(topics, 10, 4)
    assert not vectors[[EVERYWHERE, NOWHERE]].any()


def test_more_dimensions_than_tokens(topics: TokenizedTable) -> None:
    assert similarity(cooccurrence_vectors(topics, 10, 32))[1, 2] > 0.9


def test_rows_without_pairs_give_zeros() -> None:
    alone = TokenizedTable(np.arange(4, dtype=np.int32), np.arange(5))
    assert not cooccurrence_vectors(alone, 10, 4).any()


def test_of_many_pairs_evenly_spread_rows_are_counted(
    topics: TokenizedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cooccurrence, "MOST_PAIRS", 800)  # of 1,600
    alike = similarity(cooccurrence_vectors(topics, 10, 4))
    assert alike[1, 2] > 0.7
    assert alike[5, 6] > 0.7
