"""QuickCheck: the cells that need a closer look, and no others, whichever way they are told."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.profile import fit_profiles
from bert_playground.data.drift.quick_check import MIN_ROWS, QuickCheck
from bert_playground.data.templates.features import Feature

ROWS = 3 * MIN_ROWS
FORMS = {"count": "number", "price": "number", "grade": "category", "note": "text"}


def _table(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "count": rng.integers(0, 200, rows).astype(str),
            "price": [f"{number:.4f}" for number in rng.gamma(2, 20, rows)],
            "grade": rng.choice(["good", "fair", "poor"], rows),
            "note": rng.choice(["a long enough text", "12345"], rows),
        }
    )


def _profiles():
    frame = _table(2000)
    return fit_profiles(frame, list(FORMS), [Feature(n, n, form) for n, form in FORMS.items()])


ODD = {
    "count": ["7,5", "inf", "nan", "", " 3", "x", "-"],
    "price": ["7,5", "inf", "nan", "", " 3", "x", "1e400"],
    "grade": ["GOOD", "good ", "", "bad", "NA"],
    "note": ["", " ", "?", "NaN", " " * 30],
}


@pytest.mark.parametrize("column", ODD)
def test_finds_every_odd_cell_among_many(column):
    cells = _table()
    values = cells[column].to_list()
    places = np.random.default_rng(1).permutation(ROWS)[: len(ODD[column])]
    for place, cell in zip(places, ODD[column], strict=True):
        values[place] = cell
    values[int(places[-1]) - 1] = None
    cells = cells.with_columns(pl.Series(column, values))
    sample = cells.filter(~pl.col(column).is_in(ODD[column]))[::12]
    found = QuickCheck(_profiles()).find(cells, sample)
    assert set(found) == {column}
    assert sorted(found[column]) == sorted(ODD[column])


def test_a_table_as_in_training_needs_no_closer_look():
    cells = _table(seed=3)
    assert QuickCheck(_profiles()).find(cells, cells[::12]) == {}


def test_an_odd_cell_of_the_sample_is_found_on_every_row_and_in_later_chunks():
    cells = _table().with_columns(
        count=pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("none yet")).otherwise("count")
    )
    check = QuickCheck(_profiles())
    first = check.find(cells, cells[::12])["count"]
    later = check.find(cells[:1000], cells[:100])["count"]
    assert first.to_list() == ["none yet"] * len(cells[::5])
    assert later.to_list() == ["none yet"] * 200


def test_a_large_table_has_the_findings_of_its_chunks():
    cells = _table().with_columns(
        grade=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("BAD ")).otherwise("grade")
    )
    whole, chunked = TableDrift(_profiles()), TableDrift(_profiles())
    whole.read(cells)
    for start in range(0, ROWS, 3000):
        chunked.read(cells[start : start + 3000])
    (finding,), (same,) = whole.findings(), chunked.findings()
    assert (finding.column, finding.what, finding.rows) == ("grade", "unseen", ROWS // 3)
    assert finding == same
