"""The table of the first run, and how its rows are put aside."""

import gzip
import importlib.util
import sqlite3
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.quickstart.films import ID, STORY, TABLE, TARGET, put_aside, read_films

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_quickstart_table.py"


def test_the_table_is_what_the_story_says():
    films = read_films()
    assert str(films.height) in STORY
    assert films[ID].to_list() == [str(number) for number in range(1, films.height + 1)]
    assert 0.4 < (films[TARGET] == "yes").mean() < 0.6
    assert TABLE.stat().st_size < 300_000


def test_each_film_is_put_aside_once():
    films = read_films(300)
    parts = list(put_aside(films, 3, seed=0))
    rows = np.concatenate([part.test_rows for part in parts])
    assert sorted(rows) == list(range(300))
    for part in parts:
        assert not set(part.train[ID]) & set(part.test[ID])
        assert part.train.height + part.test.height == 300


def test_another_seed_puts_other_films_aside():
    films = read_films(300)
    first, second = (next(put_aside(films, 3, seed)).test[ID].to_list() for seed in (0, 1))
    assert first != second


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("make_quickstart_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_keeps_films_with_receipts_and_names_who_is_in_most(script, tmp_path):
    database = tmp_path / "movies.db"
    with sqlite3.connect(database) as connection:
        connection.execute(
            'CREATE TABLE omdb (ID, Title, Year, Runtime, Genre, Director, "Cast", Language, Country)'
        )
        connection.execute("CREATE TABLE tomatoes (ID, Production, BoxOffice)")
        connection.executemany(
            "INSERT INTO omdb VALUES (?,?,?,?,?,?,?,?,?)",
            [
                (1, "A", 1999, 90.0, "Drama", "D", "Ann, Bob, Cy, Dee", "English", "India"),
                (2, "B", 2001, 80.0, "Drama", "", "Dee", "English", "India"),
                (3, "C", 2001, None, "Drama", "", "Dee", "English", "India"),
                (4, "D", 2001, 80.0, "Drama", "", "Dee", "English", "India"),
            ],
        )
        receipts = [(1, "S", 5e7), (2, None, 4e7), (3, None, 9e7), (4, None, None)]
        connection.executemany("INSERT INTO tomatoes VALUES (?,?,?)", receipts)
    connection.close()
    assert list(script.read_films(database)) == [
        ("A", 1999, 90, "Drama", "D", "Dee, Ann, Bob", "English", "India", "S", "yes"),
        ("B", 2001, 80, "Drama", None, "Dee", "English", "India", None, "no"),
    ]


def test_the_script_refuses_another_database(script, tmp_path, monkeypatch):
    other = tmp_path / "movies.db"
    other.write_bytes(b"other")
    monkeypatch.setattr("sys.argv", ["make_quickstart_table.py", str(other)])
    with pytest.raises(SystemExit, match="expected 1d9c6a02"):
        script.main()


def test_the_table_has_nothing_that_came_after_the_film():
    columns = pl.read_csv(gzip.decompress(TABLE.read_bytes()), n_rows=1).columns
    assert not {"box_office", "awards", "oscars", "reviews", "meter", "metacritic"} & set(columns)
