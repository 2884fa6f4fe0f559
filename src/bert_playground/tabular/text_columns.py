"""TermWeights: strings as weighted words or character n-grams; fit_directions: as the first singular directions of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
import scipy.sparse as sp

if TYPE_CHECKING:
    from sklearn.decomposition import TruncatedSVD

Array = np.ndarray[Any, Any]
MAX_TERMS = 50_000  # of a vocabulary
FULL_LENGTH = 10  # words of a cell, on average, from which on rows have length one
MIN_ROWS = 2  # on which a term stands
NUM_DIRECTIONS, ROWS_EACH = 50, 50  # most directions, and rows that each needs
CHARACTERS_READ = 300  # of a cell for n-grams: more of a page costs much, and its words say it
GRAM_SIZES = (2, 3, 4, 5)


@dataclass(frozen=True)
class TermWeights:
    """Tf-idf: how often a term stands in a cell, as 1 + log(count), times how rare it is; all rows have one length.

    Attributes:
        of: "words" for single words and pairs of neighbours, "characters" for n-grams within words.
        terms: the vocabulary, in the order of the columns.
        rarity: log((1 + rows) / (1 + rows with the term)) + 1 of each.
        length: of the rows; less than one where cells are short, lest their few terms weigh more than those of a text.

    Reference: Spärck Jones 1972, A statistical interpretation of term specificity.
    """

    of: str
    terms: tuple[str, ...]
    rarity: tuple[float, ...]
    length: float = 1.0

    @classmethod
    def fit(cls, of: str, cells: pl.Series) -> tuple[Self, sp.csr_matrix] | None:
        """Learn the terms that stand on two rows at least; None: there is none.

        Returns:
            The weights, and those of the cells [R, terms].
        """
        counts, terms = _count(of, cells, None)
        num_rows = np.bincount(counts.indices, minlength=len(terms))
        places = np.flatnonzero(num_rows >= MIN_ROWS)
        if not len(places):
            return None
        if len(places) > MAX_TERMS:
            total = np.asarray(counts.sum(axis=0)).reshape(-1)[places]
            places = np.sort(places[np.argsort(-total, kind="stable")[:MAX_TERMS]])
        rarity = np.log((1 + len(cells)) / (1 + num_rows[places])) + 1
        num_words = cells.str.count_matches(r"\S+").to_numpy().mean()
        length = float(np.sqrt(min(1.0, num_words / FULL_LENGTH)))
        fitted = cls(of, tuple(terms.gather(places).to_list()), tuple(rarity.tolist()), length)
        return fitted, fitted._weigh(counts[:, places])

    def transform(self, cells: pl.Series) -> sp.csr_matrix:
        """The weights of any cells, [R, terms]."""
        known = pl.Series(self.terms, dtype=pl.String)
        return self._weigh(_count(self.of, cells, known)[0])

    def _weigh(self, counts: sp.csr_matrix) -> sp.csr_matrix:
        weights = sp.csr_matrix(counts, dtype=np.float64, copy=True)
        weights.sort_indices()
        weights.data = (1 + np.log(weights.data)) * np.array(self.rarity)[weights.indices]
        lengths = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).reshape(-1))
        weights.data *= self.length / np.repeat(lengths, np.diff(weights.indptr))
        return weights

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form that `from_dict` reads."""
        return {
            "of": self.of,
            "terms": self.terms,
            "rarity": self.rarity,
            "length": self.length,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        rarity = tuple(map(float, state["rarity"]))
        return cls(str(state["of"]), tuple(state["terms"]), rarity, float(state["length"]))


def _count(of: str, cells: pl.Series, known: pl.Series | None) -> tuple[sp.csr_matrix, pl.Series]:
    """How often each term stands in each cell, [R, terms]; the terms are `known`, or those of the cells in sorted order."""
    if of == "words":
        words = _split(cells, r"\w+")
        pair = pl.concat_str("term", pl.col("term").shift(-1), separator=" ")
        is_inside = pl.col("row") == pl.col("row").shift(-1)
        pairs = words.select("row", pl.when(is_inside).then(pair).alias("term")).drop_nulls()
        return _tabulate(pl.concat([words, pairs]), len(cells), known)
    # The n-grams of a word are found once, however often the word stands in the table.
    found = _split(cells.str.head(CHARACTERS_READ), r"\S+")
    by_word, distinct = _tabulate(found, len(cells), None)
    by_gram, grams = _tabulate(_find_grams(distinct), len(distinct), known)
    counts = sp.csr_matrix(by_word @ by_gram)
    counts.sort_indices()
    return counts, grams


def _split(cells: pl.Series, pattern: str) -> pl.DataFrame:
    """Row and term, in order."""
    found = cells.str.to_lowercase().str.extract_all(pattern)
    table = pl.DataFrame({"row": np.arange(len(cells)), "term": found})
    return table.explode("term").drop_nulls()


def _find_grams(words: pl.Series) -> pl.DataFrame:
    """The number of each word, and its n-grams with a blank at either end."""
    table = pl.DataFrame({"row": np.arange(len(words)), "word": words})
    table = table.with_columns(word=" " + pl.col("word") + " ")
    parts = []
    for size in GRAM_SIZES:
        starts = pl.int_ranges(pl.col("word").str.len_chars().cast(pl.Int64) - size + 1)
        starting = table.with_columns(start=starts).explode("start").drop_nulls()
        parts.append(starting.select("row", term=pl.col("word").str.slice(pl.col("start"), size)))
    return pl.concat(parts)


def _tabulate(
    found: pl.DataFrame, num_rows: int, known: pl.Series | None
) -> tuple[sp.csr_matrix, pl.Series]:
    """Count rows and terms, [R, terms]."""
    terms = found["term"].unique().sort() if known is None else known
    places = pl.DataFrame({"term": terms, "place": np.arange(len(terms))})
    counts = found.group_by("row", "term").len().join(places, on="term")
    counts = counts.sort("row", "place")
    cells = (counts["row"].to_numpy(), counts["place"].to_numpy())
    values = counts["len"].to_numpy().astype(np.float64)
    return sp.csr_matrix((values, cells), shape=(num_rows, len(terms))), terms


def fit_directions(weights: sp.csr_matrix, seed: int) -> "TruncatedSVD | None":
    """The first singular directions of a tf-idf; None: there are too few rows or terms."""
    from sklearn.decomposition import TruncatedSVD

    num_rows, num_terms = weights.shape
    most = min(NUM_DIRECTIONS, max(2, num_rows // ROWS_EACH), num_rows - 1, num_terms - 1)
    if most < 1:
        return None
    with np.errstate(invalid="ignore"):  # it divides by the variance, and rows may be all the same
        return TruncatedSVD(most, random_state=seed).fit(weights)


def measure_lengths(cells: pl.Series) -> Array:
    """Words and characters of each cell, [R, 2]; NaN where there is no value."""
    lengths = pl.DataFrame(
        {"words": cells.str.count_matches(r"\S+"), "chars": cells.str.len_chars()}
    )
    values = lengths.to_numpy().astype(np.float64)
    values[values[:, 1] == 0] = np.nan
    return values
