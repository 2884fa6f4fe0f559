"""The grammar of codes: the parts of a column, whatever signs stand between them."""

import random
import string
from collections.abc import Callable
from itertools import pairwise

import polars as pl
import pytest

from bert_playground.data.columns.code_parts import describe_parts, fit_code_parts
from bert_playground.data.columns.derived_columns import DerivedColumn, add_derived
from bert_playground.data.columns.kinds import infer_kind

NUM_ROWS = 400
WORDS = [
    "storm",
    "court",
    "apple",
    "market",
    "robot",
    "space",
    "police",
    "travel",
    "health",
    "school",
    "energy",
    "world",
]
Make = Callable[[random.Random], str]


def make(cell: Make) -> pl.Series:
    chance = random.Random(0)
    return pl.Series("c", [cell(chance) for _ in range(NUM_ROWS)])


def letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.ascii_lowercase, k=count))


def fit(column: pl.Series) -> tuple[DerivedColumn, ...]:
    return fit_code_parts(column, infer_kind(column))


def split(column: pl.Series, cell: str | None) -> dict[str, str | None]:
    """What the parts of a column say of a cell, by the part's name."""
    parts = fit(column)
    frame = add_derived(pl.DataFrame({"c": [cell]}, schema={"c": pl.String}), parts)
    return {part.name.removeprefix("c "): frame[part.name].item() for part in parts}


CODES: dict[str, tuple[Make, str, dict[str, str | None]]] = {
    "slashes": (
        lambda r: f"{r.choice('KLM')}{r.randint(1, 9)}/{r.randint(100, 399)}/{r.choice('xyz')}",
        "K7/312/x",
        {"part 1 letters": "K", "part 1 number": "7", "part 2 number": "312", "part 3": "x"},
    ),
    "a constant part": (
        lambda r: f"A-{r.randint(1000, 1999)}-{r.choice('xyz')}",
        "A-1042-x",
        {"part 2 number": "1042", "part 3": "x"},
    ),
    "a quarter": (
        lambda r: f"{r.randint(2000, 2030)}-Q{r.randint(1, 4)}-{r.choice(['north', 'south'])}",
        "2019-Q3-north",
        {"part 1 number": "2019", "part 2 number": "3", "part 3": "north"},
    ),
    "a postcode": (
        lambda r: (
            f"{r.choice(['SW', 'N', 'EC'])}{r.randint(1, 20)}{r.choice(['A', ''])} {r.randint(1, 9)}{r.choice('ABCD')}X"
        ),
        "SW1A 2AX",
        {
            "part 1 letters": "SW",
            "part 1 number": "1",
            "part 1 ending": "A",
            "part 2 number": "2",
            "part 2 ending": "AX",
        },
    ),
    "a version": (
        lambda r: f"v{r.randint(1, 3)}.{r.randint(0, 20)}.{r.randint(0, 9)}",
        "v2.10.3",
        {"part 1 number": "2", "part 2 number": "10", "part 3 number": "3"},
    ),
    "an e-mail address": (
        lambda r: f"{letters(r, 6)}@{r.choice(['gmail.com', 'yahoo.co.uk', 'Web.de'])}",
        "someone@Web.de",
        {"domain": "web.de"},
    ),
    "a file name": (
        lambda r: f"img_{r.randint(1, 9999):04d}.{r.choice(['jpg', 'PNG'])}",
        "img_0042.PNG",
        {"extension": "png", "stem part 2 number": "0042"},
    ),
    "a URL": (
        lambda r: (
            f"https://www.{r.choice('abc')}.com/{r.choice(['shop', 'blog'])}/{r.randint(1, 9999)}.html"
        ),
        "https://www.b.com/shop/17.html",
        {"host": "b.com", "path 1": "shop"},
    ),
    "a URL with a query": (
        lambda r: (
            f"http{r.choice(['', 's'])}://{r.choice('abc')}.org/{r.choice(['en', 'de'])}/{r.choice(['sport', 'help'])}"
            f"/{r.choice('xyz')}/{letters(r, 8)}?ref={r.choice('uvw')}"
        ),
        "https://b.org/en/sport/x/abcdefgh?ref=v",
        {"host": "b.org", "path 1": "en", "path 2": "sport", "path 3": "x", "query": "ref=v"},
    ),
    "a URL with a title": (
        lambda r: (
            f"https://news.org/{r.choice(['2013', '2014'])}/{'-'.join(r.choices(WORDS, k=4))}.html"
        ),
        "https://news.org/2014/new-storms-hit-coast.html",
        {"path 1": "2014", "words": "new-storms-hit-coast"},
    ),
    "a path": (
        lambda r: (
            f"/home/{r.choice(['ann', 'ben'])}/{r.choice(['docs', 'mail'])}/{letters(r, 8)}.{r.choice(['pdf', 'exe'])}"
        ),
        "/home/ben/docs/abcdefgh.EXE",
        {"extension": "exe", "folder 2": "ben", "folder 3": "docs"},
    ),
    "an IP address": (
        lambda r: (
            f"{r.choice([10, 192])}.{r.choice([0, 168])}.{r.randint(0, 20)}.{r.randint(0, 255)}"
        ),
        "192.168.7.1",
        {"net 1": "192…", "net 2": "192.168…", "net 3": "192.168.7…"},
    ),
    "a ZIP code": (
        lambda r: f"{r.choice(['02', '10', '94'])}{r.randint(0, 999):03d}",
        "02139",
        {"first 2": "02…", "first 3": "021…"},
    ),
    "digits of one width after letters": (
        lambda r: f"{r.choice('AB')}{r.randint(0, 29):02d}{r.randint(0, 999):03d}{r.choice('XY')}",
        "B07312X",
        {
            "letters": "B",
            "number": "07312",
            "number first 2": "07…",
            "number first 3": "073…",
            "ending": "X",
        },
    ),
    "signs within the parts of signs": (
        lambda r: (
            f"{r.choice(['new', 'old'])}, {r.randint(1, 28)} {r.choice(['Mar', 'Apr'])} {r.randint(1990, 2020)}"
        ),
        "new, 10 Mar 2016",
        {"part 1": "new", "part 2.1 number": "10", "part 2.2": "Mar", "part 2.3 number": "2016"},
    ),
    "a deck": (
        lambda r: f"{r.choice('ABCDEFG')}/{r.randint(0, 1800)}/{r.choice('PS')}",
        "B/0/P",
        {"part 1": "B", "part 2 number": "0", "part 3": "P"},
    ),
    "letters and digits alone": (
        lambda r: f"{r.choice(['TSH', 'PNT'])}{r.randint(100, 999)}{r.choice('SML')}",
        "TSH384L",
        {"letters": "TSH", "number": "384", "ending": "L"},
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_a_code_is_split_into_its_parts(name: str) -> None:
    cell, example, expected = CODES[name]
    assert split(make(cell), example) == expected


def make_tickets() -> pl.Series:
    return make(
        lambda r: r.choice(
            [
                str(r.randint(1000, 400000)),
                f"A/5 {r.randint(1000, 30000)}",
                f"PC {r.randint(17000, 18000)}",
                f"STON/O 2. {r.randint(3101200, 3101300)}",
                "LINE",
            ]
        )
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("A/5 21171", ("A5", "21171")),
        ("PC 17599", ("PC", "17599")),
        ("STON/O 2. 3101282", ("STONO2", "3101282")),
        ("LINE", ("LINE", None)),
        ("347082", ("none", "347082")),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_what_precedes_the_last_number_is_a_part_where_no_sign_is_common(
    cell: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert split(make_tickets(), cell) == dict(zip(("letters", "number"), expected, strict=True))


def make_cabins() -> pl.Series:
    def cabin(chance: random.Random) -> str:
        deck = chance.choice("ABCDE")
        return " ".join(
            f"{deck}{chance.randint(1, 130)}" for _ in range(chance.choice([1, 1, 1, 2, 3]))
        )

    return make(cabin)


def test_items_of_one_shape_are_counted_and_the_first_is_split() -> None:
    assert split(make_cabins(), "C85 C87 C89") == {"letters": "C", "number": "85", "items": "3"}
    assert split(make_cabins(), "C85")["items"] == "1"


@pytest.mark.parametrize(
    "cell",
    [
        lambda r: f"{letters(r, 5)} {letters(r, 5)}",
        lambda r: letters(r, 8),
        lambda r: "".join(r.choices("0123456789abcdef", k=16)),
        lambda r: str(r.randint(1000000, 9999999)),
        lambda r: f"2020-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}",
    ],
    ids=["words", "a word", "a hash", "numbers", "dates"],
)
def test_what_is_no_code_has_no_parts(cell: Make) -> None:
    assert fit(make(cell)) == ()


def test_words_of_addresses_that_no_two_rows_share_are_left_out() -> None:
    def title(r: random.Random) -> str:
        return "-".join(letters(r, 7) for _ in range(4))

    column = make(lambda r: f"https://{r.choice('ab')}.org/{title(r)}")
    assert [part.name for part in fit(column)] == ["c host"]


def test_a_part_that_is_constant_or_never_repeats_is_left_out() -> None:
    column = make(lambda r: f"EU/{letters(r, 6)}/{r.randint(1, 5)}")
    assert [part.name for part in fit(column)] == ["c part 3 number"]


def test_a_cell_of_another_grammar_lacks_parts_and_is_no_error() -> None:
    column = make(CODES["a deck"][0])
    assert split(column, "unknown") == {
        "part 1": "unknown",
        "part 2 number": None,
        "part 3": "none",
    }


def test_parts_are_said_in_one_line_with_an_example() -> None:
    said = describe_parts(fit(make_tickets()), "c", "A/5 21171")
    assert said == "c: split into letters, number; 'A/5 21171' \N{RIGHTWARDS ARROW} A5, 21171"


def test_the_same_rows_give_the_same_parts_and_they_survive_json() -> None:
    parts = fit(make_tickets())
    assert parts == fit(make_tickets())
    assert tuple(DerivedColumn.from_dict(part.to_dict()) for part in parts) == parts


def test_no_two_parts_say_the_same() -> None:
    column = make(lambda r: r.choice(["AA1", "BB2", "CC3"]) + f"-{r.randint(100, 999)}")
    frame = add_derived(column.to_frame(), fit(column)).drop("c")
    for one, other in pairwise(frame.columns):
        assert frame.select(one, other).n_unique() > frame[one].n_unique() or (
            frame.select(one, other).n_unique() > frame[other].n_unique()
        )
