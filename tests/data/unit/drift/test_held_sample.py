"""What a table's sample holds in memory: its own cells, and not the text of all rows that were read."""

import sys
from pathlib import Path

import polars as pl
import pytest

from bert_playground.data.drift.compare import MAX_SAMPLE_ROWS, TableDrift
from bert_playground.data.drift.profile import fit_profiles
from bert_playground.data.reading.table import own_text
from bert_playground.data.templates.fit_features import fit_features
from bert_playground.memory import return_freed_memory

PARTS, ROWS, LETTERS = 56, 4_096, 1_000


def make_part(number: int) -> pl.DataFrame:
    row = pl.int_range(ROWS).cast(pl.String)
    return pl.select(code=pl.lit(f"{number} ") + row + pl.lit("x" * LETTERS))


def resident_bytes() -> int:
    return_freed_memory()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.medium
def test_the_sample_of_a_long_table_keeps_no_other_rows_alive() -> None:
    first = make_part(0)
    drift = TableDrift(fit_profiles(first, first.columns, fit_features(first)[0]))
    for number in range(8):  # until the sample is full
        drift.read(make_part(number))
    before = resident_bytes()
    for number in range(PARTS):
        drift.read(make_part(number))
    assert resident_bytes() - before < 2 * MAX_SAMPLE_ROWS * LETTERS  # of 229 MB that were read


def test_own_text_says_the_same() -> None:
    frame = pl.DataFrame({"a": ["x", None, ""], "b": [None, "ü", "z" * 100]})
    assert own_text(frame[1:]).equals(frame[1:])
    assert own_text(frame.select([])).width == 0
