"""Lines of a CSV that are no records: a title above the header, a missing header, one that is there twice."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.logger import logger

WORDS = ("great fit", "seam broke", "too small")
ROWS = [f"{i},{WORDS[i % 3]},{5 + i / 7:.2f},{i % 2}" for i in range(60)]
HEADER = "id,comment,price,returned"
TEXTS = [f"{WORDS[i % 3]} after {('one', 'two')[i % 2]} week {i}" for i in range(60)]
BOTH = pytest.mark.parametrize("read", [read_table, open_stream])


def write(folder: Path, *lines: str, delimiter: str = ",") -> Path:
    path = folder / "t.csv"
    path.write_text("\n".join(lines).replace(",", delimiter) + "\n")
    return path


def warnings_of(read: Callable[[Path], object], path: Path) -> str:
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")
    try:
        read(path)
    finally:
        logger.remove(sink)
    return "".join(said)


@BOTH
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("above", "line"),
    [
        (["Sales report 2024,,,", ",,,"], 3),
        (["Sales report 2024"], 2),
        ([",,,"], 2),
        (["# exported on 2024-01-31", "# by hand"], 3),
        (["Customer,,Order,"], 2),
        (["", "Sales report 2024", ""], 4),
    ],
)
def test_lines_above_the_header_are_named(
    read: Callable, delimiter: str, above: list[str], line: int, tmp_path: Path
) -> None:
    path = write(tmp_path, *above, HEADER, *ROWS, delimiter=delimiter)
    with pytest.raises(ValueError, match=rf"seems to have its header on line {line} .*'id', 'com"):
        read(path)
    with pytest.raises(ValueError, match=rf"tail -n \+{line} {path}"):
        read(path)


@BOTH
def test_a_comment_as_wide_as_the_table_is_no_header(read: Callable, tmp_path: Path) -> None:
    labels = [f"{text},{('pos', 'neg')[i % 2]}" for i, text in enumerate(TEXTS)]
    path = write(tmp_path, "# exported 2024-01-31, by hand", "text,label", *labels)
    with pytest.raises(ValueError, match="its header on line 2"):
        read(path)


@BOTH
@pytest.mark.parametrize(
    "rows",
    [
        [f"{text},{i % 2}" for i, text in enumerate(TEXTS)],
        [f"{('pos', 'neg')[i % 2]},{text}" for i, text in enumerate(TEXTS)],
        ROWS[2:],
        [f"{i * 7 % 11}.5,{i * 5 % 9},{i % 4}" for i in range(9, 60)],
        [f"2024-01-{1 + i % 28:02},{70 + i},{'xyz'[i % 3]}" for i in range(60)],
        [f"anna{i}@example.com,{('yes', 'no')[i % 2]}" for i in range(60)],
    ],
)
def test_a_first_row_in_place_of_the_header_is_refused(
    read: Callable, rows: list[str], tmp_path: Path
) -> None:
    with pytest.raises(
        ValueError, match=r"no header: its first line.*put the names of the columns above it"
    ):
        read(write(tmp_path, *rows))


@BOTH
def test_a_first_text_of_one_column_is_doubted(read: Callable, tmp_path: Path) -> None:
    said = warnings_of(read, write(tmp_path, *TEXTS))
    assert "its first line is read as the header" in said


@BOTH
@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (HEADER, ROWS),
        (f"#{HEADER}", ROWS),
        (f",{HEADER}", [f"{i},{row}" for i, row in enumerate(ROWS)]),
        ("country,2018,2019,2020", [f"land {i},{i},2019,2020" for i in range(60)]),
        ("2010,2015,2020", [f"{i},{i % 2},2020" for i in range(60)]),
        ("0,1", [f"{text},{i % 2}" for i, text in enumerate(TEXTS)]),  # as pandas counts columns
        ("text,0", [f"{text},{i % 2}" for i, text in enumerate(TEXTS)]),  # a pandas Series
        ("country,1/22/20,1/23/20", [f"land {i},{i},{i * 2}" for i in range(60)]),
        ("1st_flr,2nd_flr,y", [f"{i},{i % 7},{i % 2}" for i in range(60)]),
        ("text,spam", [f"{text},{('ham', 'spam')[i % 2]}" for i, text in enumerate(TEXTS)]),
        ("text", TEXTS),
        ("id,y,,,", [f"{i},hi,,," for i in range(60)]),
        (
            "What did you like about the coat?,Would you buy the coat again?",
            [f"{text},{('yes', 'no')[i % 2]}" for i, text in enumerate(TEXTS)],
        ),
    ],
)
def test_a_header_is_a_header(read: Callable, header: str, rows: list[str], tmp_path: Path) -> None:
    assert warnings_of(read, write(tmp_path, header, *rows)) == ""


@BOTH
def test_a_header_in_the_middle_is_named(read: Callable, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="repeats its header in row 61"):
        read(write(tmp_path, HEADER, *ROWS, HEADER, *ROWS))


@BOTH
def test_a_line_of_units_and_columns_without_names_are_said(read: Callable, tmp_path: Path) -> None:
    units = write(
        tmp_path, "id,weight,height", "-,kg,cm", *(f"{i},{50 + i},{i}" for i in range(40))
    )
    assert "a line of units" in warnings_of(read, units)
    assert "no name for 3 of its 4 columns" in warnings_of(read, write(tmp_path, ",,,y", *ROWS))


def test_cells_that_repeat_in_a_first_row_lead_to_the_header(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"duplicate column names: '0'.*if the first line is a row"
    ):
        read_table(write(tmp_path, "0,0,x", *(f"{i},{i},y" for i in range(9))))


def quiz(names: str, seed: int = 0) -> list[str]:
    """Answers of 60 people to the questions, a letter each."""
    drawn = random.Random(seed)
    width = names.count(",") + 1
    return [names, *(",".join(drawn.choices("ABC", k=width)) for _ in range(60))]


@BOTH
@pytest.mark.parametrize("names", ["A,B,C", "A,B,C,D", "a,b,c,d,e"])
def test_letters_that_count_columns_are_a_header(
    read: Callable, names: str, tmp_path: Path
) -> None:
    path = write(tmp_path, *(line.lower() if names[0] == "a" else line for line in quiz(names)))
    assert "its first line is read as the header" in warnings_of(read, path)
    assert read_table(path).columns == names.split(",")


@BOTH
@pytest.mark.parametrize("names", ["C,A,B", "A,C,C,B", "B,C"])
def test_other_letters_are_refused_and_both_ways_out_work(
    read: Callable, names: str, tmp_path: Path
) -> None:
    names = ",".join(dict.fromkeys(names.split(",")))
    header, *rows = quiz(names)
    path = write(tmp_path, header, *rows)
    with pytest.raises(ValueError, match="seems to have no header") as caught:
        read(path)
    said = str(caught.value)
    above = said.split("put the names of the columns above it, such as ")[1].split(";")[0]
    instead = said.split("no cells of their columns, such as ")[1]
    for lines, num_rows in (([above, header, *rows], 61), ([instead, *rows], 60)):
        path = write(tmp_path, *lines)
        assert warnings_of(read, path) == ""
        assert read_table(path).shape == (num_rows, names.count(",") + 1)
