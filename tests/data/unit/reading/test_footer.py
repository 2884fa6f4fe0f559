"""Last lines of a CSV that are no records are said, and kept."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.logger import logger

WORDS = ("great fit", "seam broke", "too small")
DRAWN = random.Random(0)
CELLS = [(i, WORDS[i % 3], DRAWN.randint(5, 99), f"{DRAWN.uniform(1, 9):.2f}") for i in range(60)]
ROWS = [",".join(map(str, row)) for row in CELLS]
HEADER = "id,comment,price,weight"
PRICES = sum(row[2] for row in CELLS)
WEIGHTS = f"{sum(float(row[3]) for row in CELLS):.2f}"
BOTH = pytest.mark.parametrize("read", [read_table, open_stream])


def warnings_of(read: Callable[[Path], object], folder: Path, *lines: str) -> tuple[str, int]:
    path = folder / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    table = read(path)
    logger.remove(sink)
    return "".join(said), table.height if hasattr(table, "height") else table.num_rows


@BOTH
@pytest.mark.parametrize(
    ("footer", "why"),
    [
        ("Total,,,", "begins with 'Total'"),
        ("Grand total,,,", "begins with 'Grand total'"),
        (f"GRAND TOTAL:,,{PRICES},{WEIGHTS}", "begins with 'GRAND TOTAL:'"),
        (f",Sum,{PRICES},", "begins with 'Sum'"),
        (f",,{PRICES},{WEIGHTS}", "has the sum of 'price', 'weight'"),
        (f",,{PRICES},", "has the sum of 'price'"),
        ("Average,,52,5", "begins with 'Average'"),
        ("Gesamt (60),,,", "begins with 'Gesamt (60)'"),
        ("Source: the office,,,", "has a value in one column alone"),
    ],
)
def test_a_footer_is_said_and_kept(read: Callable, footer: str, why: str, tmp_path: Path) -> None:
    said, num_rows = warnings_of(read, tmp_path, HEADER, *ROWS, footer)
    assert f"row 61 ({footer.split(',')[0]!r}" in said
    assert why in said
    assert "remove it from the end of the file" in said
    assert num_rows == 61


def test_several_footers_are_all_named(tmp_path: Path) -> None:
    footers = [f"Total,,{PRICES},{WEIGHTS}", "Average,,52,5.1"]
    said, _ = warnings_of(read_table, tmp_path, HEADER, *ROWS, *footers)
    assert "row 61 ('Total'" in said
    assert "row 62 ('Average'" in said


@BOTH
@pytest.mark.parametrize(
    "last",
    [
        "60,great fit,20,3.5",
        "60,great fit,,",
        "60,total,20,3.5",  # a comment
        "60,,20,3.5",
        "60,seam broke,900,3.5",  # far beyond the others, and no sum
    ],
)
def test_a_usual_last_row_is_not_doubted(read: Callable, last: str, tmp_path: Path) -> None:
    assert warnings_of(read, tmp_path, HEADER, *ROWS, last) == ("", 61)


def test_words_that_are_values_of_their_column_are_none(tmp_path: Path) -> None:
    rows = [f"{('total', 'part')[i % 2]},{i % 7}" for i in range(60)]
    assert warnings_of(read_table, tmp_path, "scope,count", *rows, "total,") == ("", 61)


def test_a_small_table_is_not_doubted(tmp_path: Path) -> None:
    assert warnings_of(read_table, tmp_path, "a,b", "1,2", "2,3", "total,5") == ("", 3)
