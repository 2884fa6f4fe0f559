"""TextColumn: strings as weighted words and character n-grams, and as the first singular directions of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

Array = np.ndarray[Any, Any]
MAX_WORDS, MAX_CHARACTERS = 50_000, 50_000  # entries of a vocabulary
NUM_DIRECTIONS = 50
CHARACTERS_READ = 300  # of a cell: n-grams of whole pages cost much and say little more than words
OPTIONS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2), "max_features": MAX_WORDS, "token_pattern": r"(?u)\b\w+\b"},
    "characters": {
        "ngram_range": (2, 5),
        "max_features": MAX_CHARACTERS,
        "analyzer": "char_wb",
    },
}


@dataclass(frozen=True)
class Weights:
    """A tf-idf of n-grams, Spärck Jones 1972: sublinear term frequencies times how rare a term is.

    Attributes:
        of: a name in OPTIONS.
        terms: the vocabulary, in the order of the columns.
        rarity: the inverse document frequency of each.
    """

    of: str
    terms: tuple[str, ...]
    rarity: tuple[float, ...]

    @classmethod
    def fit(cls, of: str, cells: Sequence[str]) -> Self | None:
        """Learn the terms that stand on two rows at least; None: there is none."""
        vectorizer = TfidfVectorizer(**OPTIONS[of], sublinear_tf=True, min_df=2, dtype=np.float32)
        try:
            vectorizer.fit(cut(of, cells))
        except ValueError:  # no term at all, or none on two rows
            return None
        terms = vectorizer.get_feature_names_out()
        return cls(of, tuple(map(str, terms)), tuple(vectorizer.idf_.astype(np.float64).tolist()))

    def transform(self, cells: Sequence[str]) -> sp.csr_matrix:
        """[R, terms], rows of length one."""
        vectorizer = TfidfVectorizer(
            **OPTIONS[self.of], sublinear_tf=True, vocabulary=self.terms, dtype=np.float32
        )
        vectorizer.idf_ = np.array(self.rarity, dtype=np.float32)
        return sp.csr_matrix(vectorizer.transform(cut(self.of, cells)))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return {"of": self.of, "terms": self.terms, "rarity": self.rarity}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(str(state["of"]), tuple(state["terms"]), tuple(map(float, state["rarity"])))


def cut(of: str, cells: Sequence[str]) -> list[str]:
    """What is read of each cell."""
    return [cell[:CHARACTERS_READ] for cell in cells] if of == "characters" else list(cells)


def fit_directions(weights: sp.csr_matrix, seed: int) -> TruncatedSVD | None:
    """The first singular directions of a tf-idf; None: there are too few rows or terms."""
    most = min(NUM_DIRECTIONS, min(weights.shape) - 1)
    if most < 1:
        return None
    return TruncatedSVD(most, random_state=seed).fit(weights)


def measure_lengths(cells: Sequence[str]) -> Array:
    """Words and characters of each cell, [R, 2]; NaN where there is no value."""
    lengths = [(len(cell.split()), len(cell)) if cell else (np.nan, np.nan) for cell in cells]
    return np.array(lengths, dtype=np.float64).reshape(-1, 2)
