"""Make the table of `bert quickstart`: films of Wikidata, and whether each earned more than 40 million dollars.

Source: `movies.db` of the PyPI package bokeh_sampledata 2026.1, a snapshot of Wikidata's statements about films, retrieved
on 2026-10-18. Wikidata's structured data is CC0 1.0; the package's own notice (`licenses/datasets.json`, module
`movies_data`) says the same of this file. Nothing of the package's code is copied.

    pip download --no-deps bokeh_sampledata==2026.1
    unzip bokeh_sampledata-2026.1-*.whl bokeh_sampledata/_data/movies.db
    python scripts/make_quickstart_table.py bokeh_sampledata/_data/movies.db

Kept are films with reported receipts, genre, language, running time and cast. Receipts, awards, and the scores and counts
of reviews, all of which come after the film, are left out, but for the target. Lists are cut, since long lists of names tell
how famous a film became; of the cast those are named who are in most films of the snapshot.
"""

import argparse
import gzip
import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

SHA256 = "1d9c6a02e488d0354b2309e16130c58820a91ac2ce417e814c5964f9579a65ac"
TABLE = Path("src/bert_playground/quickstart/films.csv.gz")
QUERY = """
SELECT Title, Year, Runtime, Genre, Director, "Cast", Language, Country, Production, BoxOffice
FROM omdb JOIN tomatoes USING (ID) ORDER BY ID
"""
DOLLARS = 40_000_000
SEPARATOR = ", "
COLUMNS = (
    "title",
    "year",
    "minutes",
    "genre",
    "director",
    "cast",
    "language",
    "country",
    "studio",
    "hit",
)


def main() -> None:
    """Read the database, check that it is the one described above, and write the table."""
    parser = argparse.ArgumentParser(description="Make the table of bert quickstart.")
    parser.add_argument("database", type=Path, help="movies.db of bokeh_sampledata 2026.1")
    parser.add_argument("--output", type=Path, default=TABLE, help=f"where it goes ({TABLE})")
    arguments = parser.parse_args()
    found = hashlib.sha256(arguments.database.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{arguments.database} has SHA-256 {found}, expected {SHA256}")
    films = list(read_films(arguments.database))
    random.Random(0).shuffle(films)
    table = pl.DataFrame(films, schema=COLUMNS, orient="row").with_row_index("film", offset=1)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    # without a time and a name, so that the same table is the same file
    arguments.output.write_bytes(gzip.compress(table.write_csv().encode(), mtime=0))
    print(f"{arguments.output}: {table.height} films, {arguments.output.stat().st_size} bytes")
    print(table["hit"].value_counts())


def read_films(database: Path) -> Iterator[tuple[object, ...]]:
    """The rows of the table, in the order of the database."""
    rows = sqlite3.connect(database).execute(QUERY).fetchall()
    num_films = Counter(name for row in rows for name in split(row[5]))
    for title, year, minutes, genre, director, cast, language, country, studio, dollars in rows:
        if dollars is None or minutes is None or not (genre and language and cast):
            continue
        known = sorted(split(cast), key=lambda name: (-num_films[name], name))
        yield (
            title,
            year,
            int(minutes),
            join(split(genre), 4),
            join(split(director), 2),
            join(known, 3),
            join(split(language), 2),
            join(split(country), 2),
            join(split(studio), 2),
            "yes" if dollars > DOLLARS else "no",
        )


def split(cell: str | None) -> list[str]:
    """The names in a cell."""
    return cell.split(SEPARATOR) if cell else []


def join(names: list[str], most: int) -> str | None:
    """A cell of the first names; None without any."""
    return SEPARATOR.join(names[:most]) or None


if __name__ == "__main__":
    main()
