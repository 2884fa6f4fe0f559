"""What a later table is said to have that training did not: true, in order of harm, and nothing of tables drawn alike."""

from functools import cache

import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.drift.compare import TableDrift
from bert_playground.data.drift.finding import Finding, is_surprising
from bert_playground.data.drift.profile import ColumnProfile, fit_profiles
from bert_playground.data.drift.tables import compare_tables
from bert_playground.data.schema.decide import decide
from bert_playground.data.templates.fit_features import fit_features
from bert_playground.data.templates.options import TextOptions
from bert_playground.logger import logger


def draw(rows: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "price": random.normal(50, 10, rows).round(2).astype(str),
            "plan": random.choice(["gold", "iron", "tin"], rows, p=[0.6, 0.3, 0.1]),
            "day": random.choice([f"2024-05-{day:02}" for day in range(1, 29)], rows),
            "town": random.choice([f"town {n}" for n in range(60)], rows),
            "tags": random.choice(["a|b", "b|c", "a|c", "c"], rows),
            "code": [f"{letter}{n}" for n, letter in enumerate(random.choice(["A", "B"], rows))],
        }
    )


TRAIN = draw(400, 0)


@cache
def profiles() -> tuple[ColumnProfile, ...]:
    features, _ = fit_features(TRAIN)
    return fit_profiles(TRAIN, TRAIN.columns, features)


def watch() -> TableDrift:
    return TableDrift(profiles())


def find(later: pl.DataFrame) -> list[tuple[str, str]]:
    drift = watch()
    drift.read(later)
    return [(finding.column, finding.what) for finding in drift.findings()]


@pytest.mark.parametrize("rows", [1, 5, 100, 400, 5000])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_table_drawn_alike_gives_no_finding(rows: int, seed: int) -> None:
    assert find(draw(rows, seed)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"price": pl.lit("dear")}, ("price", "unreadable")),
        ({"price": pl.col("price") + " EUR"}, ("price", "unreadable")),
        ({"price": (pl.col("price").cast(float) * 100).cast(str)}, ("price", "outside")),
        ({"price": (pl.col("price").cast(float) / 3 + 40).cast(str)}, ("price", "shifted")),
        ({"price": pl.lit("n/a")}, ("price", "missing")),
        ({"plan": pl.lit("silver")}, ("plan", "unseen")),
        ({"plan": pl.lit("tin")}, ("plan", "shifted")),
        ({"plan": pl.lit(None, pl.String)}, ("plan", "missing")),
        ({"day": pl.lit("May")}, ("day", "unreadable")),
        ({"day": pl.lit("2031-01-01")}, ("day", "outside")),
        ({"tags": pl.lit("c|x")}, ("tags", "unseen")),
        ({"code": "Z" + pl.col("code")}, ("code", "shifted")),
    ],
)
def test_what_differs_is_found(change: dict[str, pl.Expr], expected: tuple[str, str]) -> None:
    assert find(draw(200, 5).with_columns(**change)) == [expected]


def test_a_finding_has_share_and_examples_and_what_is_read_instead() -> None:
    later = draw(200, 5)
    is_odd = pl.int_range(pl.len()) < 50
    later = later.with_columns(price=pl.when(is_odd).then(pl.lit("dear")).otherwise("price"))
    drift = watch()
    drift.read(later)
    (finding,) = drift.findings()
    assert (finding.rows, finding.share, finding.share_in_training) == (50, 0.25, 0.0)
    assert finding.example == "dear"
    assert finding.example_in_training in TRAIN["price"]
    assert finding.say().startswith(
        "price: 25 % of the rows are no number as training writes it, 0 % in training (now 'dear', then '"
    )
    assert finding.say().endswith("the model reads them as missing")


def test_the_most_harmful_comes_first_and_repairs_last() -> None:
    later = draw(200, 5)
    few = pl.int_range(pl.len()) < 40
    later = later.with_columns(
        pl.col("town").str.to_uppercase(),
        plan=pl.when(few).then(pl.lit("silver")).otherwise("plan"),
        price=pl.lit("dear"),
    )
    assert find(later) == [("price", "unreadable"), ("plan", "unseen"), ("town", "respelled")]


def test_chunks_are_counted_together() -> None:
    later = draw(4000, 5).with_columns(
        plan=pl.lit("silver"), town=pl.col("town").str.to_uppercase()
    )
    whole, parts = watch(), watch()
    whole.read(later)
    read = pl.concat([parts.read(later[at : at + 500]) for at in range(0, 4000, 500)])
    facts = [
        [(each.column, each.what, each.rows) for each in one.findings()] for one in (parts, whole)
    ]
    assert facts[0] == facts[1]
    assert len(facts[0]) == 2
    known = TRAIN["town"].unique().to_list()
    assert read["town"].is_in(known).to_list() == draw(4000, 5)["town"].is_in(known).to_list()


def test_strict_makes_differences_an_error_and_repairs_none() -> None:
    drift = watch()
    drift.read(draw(200, 5).with_columns(pl.col("plan").str.to_uppercase()))
    assert [finding.what for finding in drift.conclude("test.csv", strict=True)] == ["respelled"]
    drift = watch()
    drift.read(draw(200, 5).with_columns(plan=pl.lit("silver")))
    with pytest.raises(ValueError, match=r"test\.csv differs .*--strict.*\n- plan: 100 %"):
        drift.conclude("test.csv", strict=True)


def test_each_difference_is_one_line_of_the_log() -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{level} {message}")
    drift = watch()
    drift.read(draw(200, 5).with_columns(pl.col("town").str.to_uppercase(), plan=pl.lit("silver")))
    drift.conclude("test.csv")
    logger.remove(sink)
    assert [line.split()[:2] for line in lines] == [["WARNING", "plan:"], ["INFO", "town:"]]


def test_rare_values_of_training_make_new_ones_likely() -> None:
    names = [f"name {n}" for n in range(90)] + ["Smith"] * 310
    frame = pl.DataFrame({"name": names})
    features, _ = fit_features(frame)
    drift = TableDrift(fit_profiles(frame, ["name"], features))
    later = [f"name {n}" for n in range(200, 245)] + ["Smith"] * 155
    drift.read(pl.DataFrame({"name": later}))
    assert drift.findings() == []


def test_a_profile_is_stored_and_read_back() -> None:
    features, _ = fit_features(TRAIN)
    for profile in fit_profiles(TRAIN, TRAIN.columns, features):
        assert ColumnProfile.from_dict(profile.to_dict()) == profile


@pytest.mark.parametrize(
    ("hits", "rows", "hits_then", "rows_then", "expected"),
    [
        (0, 100, 0, 400, False),
        (1, 1, 0, 400, True),  # all rows, be it one
        (1, 100, 0, 400, False),
        (40, 400, 36, 400, False),
        (100, 400, 36, 400, True),
        (500, 100_000, 0, 100_000, False),  # beyond chance, but too few to matter
    ],
)
def test_a_share_is_surprising(
    hits: int, rows: int, hits_then: int, rows_then: int, expected: bool
) -> None:
    assert is_surprising(hits, rows, hits_then, rows_then) == expected


@pytest.mark.medium
def test_a_forest_tells_tables_apart_by_the_column_that_differs() -> None:
    train = TRAIN.with_columns(y=pl.Series(["yes", "no"] * 200))
    schema = decide(train, DataSection(target="y"), TRAIN.columns)
    same = compare_tables(train, draw(400, 7), schema, TextOptions())
    assert same.roc_auc is not None
    assert same.roc_auc < 0.6
    shifted = draw(400, 7).with_columns(price=(pl.col("price").cast(float) + 20).cast(str))
    other = compare_tables(train, shifted, schema, TextOptions())
    assert other.roc_auc is not None
    assert other.roc_auc > 0.85
    assert other.columns[0][0] == "price"
    few = compare_tables(train, draw(3, 7), schema, TextOptions())
    assert few.roc_auc is None


@pytest.mark.parametrize(
    ("rows", "num_rows", "said"),
    [
        (1, 1, "the cell of the only row is no number as training writes it, 0 % in training"),
        (1, 3, "the cell of 1 of 3 rows is no number as training writes it, 0 % in training"),
        (2, 3, "2 of 3 rows are no number as training writes it, 0 % in training"),
        (50, 200, "25 % of the rows are no number as training writes it, 0 % in training"),
    ],
)
def test_of_few_rows_their_number_is_said(rows, num_rows, said):
    finding = Finding("price", "unreadable", "number", rows, rows / num_rows, 0.0, "dear", "12.5")
    assert finding.say() == f"price: {said} (now 'dear', then '12.5')"
