"""Derived columns on their way through a pipeline: fitted, stored, read, and switched off."""

import random
from pathlib import Path

import polars as pl
import pytest

from bert_playground.config.schema import DataSection
from bert_playground.data.columns.kinds import infer_kinds
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import choose_text_options
from bert_playground.data.schema.decide import decide
from bert_playground.data.templates.fit_columns import fit_columns
from bert_playground.data.templates.fit_features import fit_features
from bert_playground.data.templates.options import TextOptions
from bert_playground.data.templates.row_text import fit_row_text, load_row_text

NUM_ROWS = 240


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Travellers in groups of one to three, whose fate follows from deck, side and company."""
    chance = random.Random(0)
    rows = []
    while len(rows) < NUM_ROWS:
        group = len(rows)
        deck, size = chance.choice("ABC"), chance.choice([1, 2, 3])
        for i in range(size):
            cabin = f"{deck}/{chance.randint(0, 300)}/{chance.choice('PS')}"
            town = f"{chance.choice(['New', 'Old'])} {chance.choice(['York', 'Delhi'])}{group}{i}"
            alive = int((size > 1) == (chance.random() < 0.95))
            rows.append(
                (
                    f"{group:04d}_{i + 1:02d}",
                    cabin if i < 2 else None,
                    town,
                    str(chance.randint(1, 80)),
                    str(alive),
                )
            )
    columns = ["PassengerId", "Cabin", "Town", "Age", "Alive"]
    return pl.DataFrame(rows[:NUM_ROWS], schema=columns, orient="row")


def fit(frame: pl.DataFrame, test_rows: pl.DataFrame | None = None, **options: str) -> TextPipeline:
    schema = decide(frame, DataSection(target="Alive"))
    return TextPipeline.fit(frame, schema, TextOptions(test_rows=test_rows, **options))


def test_parts_stand_in_the_place_of_a_reduced_code(frame: pl.DataFrame) -> None:
    text = fit(frame)
    columns = [feature.column for feature in text.features]
    assert {"Cabin part 1", "Cabin part 2 number", "Cabin part 3"} <= {*columns}
    assert "Cabin" not in columns
    assert "Cabin" in text.columns
    assert "Cabin part 1" not in text.columns
    assert any(said.startswith("Cabin: split into part 1") for said in text.statements)


def test_a_missing_code_is_said_once(frame: pl.DataFrame) -> None:
    row = frame[:1].with_columns(pl.lit(None, pl.String).alias("Cabin"))
    text = fit(frame).text(row).item()
    assert text.count("missing") == 1
    assert "[cabin part 1=missing]" in text


def test_what_a_derived_column_lacks_is_said_by_those_it_is_made_of(frame: pl.DataFrame) -> None:
    fitted = fit_columns(
        frame,
        TextOptions(),
        skip=["Alive"],
        id_column="PassengerId",
        choose=lambda base, is_category, proposed, unseen: [*range(proposed.shape[1])],
    )
    says = {each.column: each.says_missing for each in fitted.features}
    assert says["PassengerId start group size"]  # the id itself is not read
    assert says["Cabin part 1"]
    assert not says["Cabin stem group size"]


def test_strings_of_several_words_keep_all_of_them(frame: pl.DataFrame) -> None:
    text = fit(frame)
    assert {each.column: each.form for each in text.features}["Town"] == "text"
    assert frame["Town"][0].lower() in text.text(frame[:1]).item().lower()


def test_words_of_addresses_are_read_word_by_word(frame: pl.DataFrame) -> None:
    words = ["storm", "court", "market", "robot"]
    link = [
        f"https://a.org/{'-'.join(words[i // step % 4] for step in (1, 4, 16, 64))}/{i % 2}"
        for i in range(NUM_ROWS)
    ]
    link = [f"{each[:-2]}-{i % 60}" for i, each in enumerate(link)]
    text = fit(frame.with_columns(Link=pl.Series(link)))
    assert {each.column: each.form for each in text.features}["Link words"] == "text"
    assert "Link" not in {each.column for each in text.features}
    assert (
        "link words storm-court-storm-storm-4"
        in text.text(frame.with_columns(Link=pl.Series(link))[4:5]).item()
    )


def test_off_is_what_earlier_versions_did(frame: pl.DataFrame) -> None:
    kinds = infer_kinds(frame, skip=["Alive"], id_column="PassengerId")
    fitted = fit_columns(frame, TextOptions(derive="off"), skip=["Alive"], id_column="PassengerId")
    assert (fitted.features, fitted.statements) == fit_features(frame, kinds)
    assert fitted.derived == ()


@pytest.mark.medium
def test_a_size_of_groups_is_kept_where_they_reach_into_the_table_to_predict(
    frame: pl.DataFrame,
) -> None:
    train, test = frame[::2], frame[1::2].drop("Alive")
    text = fit(frame, frame.drop("Alive"))
    assert "PassengerId start group size" in [each.column for each in text.features]
    assert "PassengerId" in text.columns
    others = test.with_columns("x" + pl.col("PassengerId"))
    assert "PassengerId start group size" not in [
        each.column for each in fit(train, others).features
    ]


def test_training_rows_are_read_as_rows_of_their_group(frame: pl.DataFrame) -> None:
    """A row that training knows counts itself; to predict, it is one more."""
    text = fit(frame, frame.drop("Alive"))
    cell = "[passenger id start group size="
    alone = frame.filter(pl.col("PassengerId").str.slice(0, 4).is_unique())[:1]
    assert f"{cell}1]" in text.of_training_rows.text(alone).item()
    assert f"{cell}2]" in text.text(alone).item()
    assert text.derived != text.of_training_rows.derived


def test_a_stored_pipeline_reads_the_same(frame: pl.DataFrame, tmp_path: Path) -> None:
    text = fit(frame, frame.drop("Alive"))
    text.save(tmp_path)
    for loaded in (TextPipeline.load(tmp_path), load_row_text(tmp_path)):
        assert loaded.derived == text.derived
        assert loaded.encode(frame).ids.tolist() == text.encode(frame).ids.tolist()


@pytest.mark.medium
def test_rows_are_read_one_by_one_as_they_are_together(frame: pl.DataFrame) -> None:
    text = fit(frame, frame.drop("Alive"))
    together = text.text(frame[:20]).to_list()
    assert [text.text(frame[i : i + 1]).item() for i in range(20)] == together


def test_pretraining_derives_parts_and_tests_nothing(frame: pl.DataFrame) -> None:
    text = fit_row_text(frame, TextOptions(), skip=["Alive"], id_column="PassengerId")
    assert {each.kind for each in text.derived} == {"part"}


def test_a_mapping_names_the_derived_columns_and_these_alone(frame: pl.DataFrame) -> None:
    request = DataSection(target="Alive", derive={"Decade": "CAST(Age AS INT) / 10"})
    options = choose_text_options(request)
    assert options.derive == "off"
    text = TextPipeline.fit(frame, decide(frame, request), options)
    columns = [each.column for each in text.features]
    assert "Decade" in columns
    assert "Cabin part 1" not in columns


@pytest.mark.parametrize(("given", "meant"), [(False, "off"), (True, "auto"), ("off", "off")])
def test_a_switch_in_yaml_is_a_word(given: object, meant: str) -> None:
    assert DataSection.model_validate({"derive": given}).derive == meant


@pytest.mark.medium
def test_a_column_that_the_user_speaks_of_is_not_derived_from(frame: pl.DataFrame) -> None:
    schema = decide(frame, DataSection(target="Alive"))
    for options in (TextOptions(text_columns=("Cabin",)), TextOptions(kinds={"Cabin": "code"})):
        text = TextPipeline.fit(frame, schema, options)
        assert "Cabin" in [each.column for each in text.features]
