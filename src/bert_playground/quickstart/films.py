"""read_films, put_aside: the table of the first run, parted so that each film is put aside once."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedKFold

from bert_playground.data.reading.table import read_table
from bert_playground.files import write_text

ID, TARGET = "film", "hit"
CLASSES = ("no", "yes")
TABLE = Path(__file__).with_name("films.csv.gz")
STORY = (
    "2546 films of 1940 to 2014: title, year, minutes, genre, director, cast, language, country and studio. "
    "Did it earn more than 40 million dollars? (Wikidata, CC0; comes with this package.)"
)


class Part(NamedTuple):
    """Rows to fit on, and rows that nobody sees while fitting; with the answers, and places in the whole table."""

    train: pl.DataFrame
    test: pl.DataFrame
    test_rows: np.ndarray


def read_films(num_rows: int | None = None) -> pl.DataFrame:
    """The table; with `num_rows` only its first rows, which are in no order."""
    films = read_table(TABLE)
    return films if num_rows is None else films.head(num_rows)


def put_aside(films: pl.DataFrame, num_parts: int, seed: int) -> Iterator[Part]:
    """Split the table as often as there are parts; each part is put aside once, with the classes in proportion."""
    folds = StratifiedKFold(num_parts, shuffle=True, random_state=seed)
    for train_rows, test_rows in folds.split(np.zeros(films.height), films[TARGET].to_numpy()):
        yield Part(films[train_rows], films[test_rows], test_rows)


def write_tables(folder: Path, part: Part) -> None:
    """Write train.csv, test.csv without the target and sample_submission.csv, as Kaggle does."""
    sample = part.test.select(ID, pl.lit(CLASSES[0]).alias(TARGET))
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (
        ("train", part.train),
        ("test", part.test.drop(TARGET)),
        ("sample_submission", sample),
    ):
        write_text(folder / f"{name}.csv", table.write_csv())
