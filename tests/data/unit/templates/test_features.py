"""Features: identifying columns are reduced, numbers binned, and the choice is stated."""

import json

import polars as pl
import pytest

from bert_playground.data.templates.features import Feature, humanise
from bert_playground.data.templates.fit_features import choose_num_bins, fit_features

ROWS = 120
TITLES = ("Mr", "Mrs", "Miss")


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "PassengerId": [str(i) for i in range(ROWS)],
            "Name": [f"Surname{i}, {TITLES[i % 3]}. First{i}" for i in range(ROWS - 1)]
            + ["Odd, Sir. One"],
            "Cabin": [f"{'ABC'[i % 3]}{i}" if i % 2 else None for i in range(ROWS)],
            "Age": [None if i % 7 == 0 else str(i * 0.25) for i in range(ROWS)],
            "Pclass": [str(i % 3 + 1) for i in range(ROWS)],
            "Garage": [["NA", "Attached", ""][i % 3] for i in range(ROWS)],
            "Empty": [None] * ROWS,
            "town": [
                f"place{chr(97 + i % 26)}{chr(97 + i // 26)} {'england' if i % 2 else 'wales'}"
                for i in range(ROWS)
            ],
        },
        schema_overrides={"Empty": pl.String},
    )


def by_column(features: tuple[Feature, ...]) -> dict[str, Feature]:
    return {feature.column: feature for feature in features}


def cells(frame: pl.DataFrame, feature: Feature, *, binned: bool = True) -> list[str]:
    return frame.select(feature.cell(numbers="bins" if binned else "rounded")).to_series().to_list()


def test_identifying_columns_are_reduced_and_it_is_said(frame: pl.DataFrame) -> None:
    features, statements = fit_features(frame, id_column="PassengerId")
    fitted = by_column(features)
    assert set(fitted) == {"Name", "Cabin", "Age", "Pclass", "Garage", "town"}
    assert cells(frame, fitted["Name"])[:3] == ["Mr", "Mrs", "Miss"]
    assert cells(frame, fitted["Name"])[-1] == "other"
    assert cells(frame, fitted["Cabin"])[:2] == ["missing", "B"]
    assert cells(frame, fitted["town"])[:2] == ["wales", "england"]
    said = " | ".join(statements)
    assert "Name identifies rows (120 distinct of 120): reduced to the title" in said
    assert "Cabin identifies rows (60 distinct of 60): reduced to the leading letters" in said
    assert "left out, without any value or with a single one: Empty" in said


def test_numbers_are_binned_by_training_quantiles(frame: pl.DataFrame) -> None:
    features, _ = fit_features(frame)
    age = by_column(features)["Age"]
    binned = pl.Series(cells(frame, age))
    counts = binned.filter(binned != "missing").value_counts()["count"]
    assert counts.min() >= 4
    wild = pl.DataFrame({"Age": ["-1e300", "1e999", "inf", "junk", None, "NA"]})
    assert cells(wild, age) == ["q1", age.known[-1], age.known[-1], "missing", "missing", "missing"]


def test_few_distinct_numbers_keep_their_values_and_take_in_new_ones(frame: pl.DataFrame) -> None:
    pclass = by_column(fit_features(frame)[0])["Pclass"]
    assert pclass.known == ("1", "2", "3")
    assert cells(pl.DataFrame({"Pclass": ["1.0", "2", "9", "-4"]}), pclass) == ["1", "2", "3", "1"]


def test_numbers_as_words_are_short() -> None:
    feature = Feature("x", "x", "number")
    shown = cells(
        pl.DataFrame({"x": ["71.2833", "22", "7.0", "1965", "0.000123456"]}), feature, binned=False
    )
    assert shown == ["71.28", "22", "7", "1965", "0.0001235"]


def test_not_available_is_an_answer_of_a_category(frame: pl.DataFrame) -> None:
    garage = by_column(fit_features(frame)[0])["Garage"]
    assert cells(frame, garage)[:3] == ["none", "Attached", "missing"]


def test_a_number_on_most_rows_leaves_bins_for_the_rest() -> None:
    values = ["0"] * 900 + [str(i) for i in range(1, 101)]
    feature = fit_features(pl.DataFrame({"gain": values}))[0][0]
    assert len(feature.known) >= 6


def test_bins_grow_with_the_cube_root_of_the_rows() -> None:
    assert [choose_num_bins(rows) for rows in (50, 1000, 27_000, 10**7)] == [8, 10, 30, 64]


def test_dates_become_parts_that_vary() -> None:
    frame = pl.DataFrame({"when": [f"2011-0{i % 3 + 1}-05 {i % 24:02d}:00:00" for i in range(60)]})
    features, _ = fit_features(frame, id_column="when")
    assert [feature.part for feature in features] == ["month", "weekday", "hour"]
    assert cells(frame, features[2])[:2] == ["00", "01"]
    assert cells(frame, features[1])[0] == "Wednesday"


def test_the_only_string_column_is_kept_whole() -> None:
    frame = pl.DataFrame({"headline": [f"word{i} other{i}" for i in range(40)]})
    features, _ = fit_features(frame)
    assert [feature.form for feature in features] == ["text"]


def test_text_columns_are_kept_whole_and_stand_last(frame: pl.DataFrame) -> None:
    features, _ = fit_features(frame, text_columns=["Name"])
    assert features[-1].column in ("Name", "town")
    assert cells(frame, by_column(features)["Name"])[0] == "Surname0, Mr. First0"


def test_no_usable_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="no column is left to learn from: a, b"):
        fit_features(
            pl.DataFrame({"a": [None, None], "b": ["x", "x"]}, schema_overrides={"a": pl.String})
        )


def test_features_come_back_from_json(frame: pl.DataFrame) -> None:
    features, _ = fit_features(frame)
    stored = json.loads(json.dumps([feature.to_dict() for feature in features]))
    assert tuple(Feature.from_dict(state) for state in stored) == features


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SibSp", "sib sp"),
        ("family_history", "family history"),
        ("pH", "ph"),
        ("MSSubClass", "ms sub class"),
        ("capital-gain", "capital gain"),
        ("1stFlrSF", "1st flr sf"),
        ("CH2O", "ch2o"),
        ("__", "__"),
    ],
)
def test_column_names_are_read_as_words(name: str, words: str) -> None:
    assert humanise(name) == words
