"""What `bert data describe` finds: kinds, missing values, repeated rows and columns that know the answer."""

import numpy as np
import polars as pl
import pytest

from bert_playground.data.schema.column_probe import ColumnProbe
from bert_playground.data.schema.leakage import find_leakage
from bert_playground.data.targets.label_encoder import LabelEncoder
from bert_playground.data.templates.word_counts import describe_words
from tests.fitting import describe_frame

ROWS = 300
GENERATOR = np.random.default_rng(0)
SIGNAL = GENERATOR.normal(size=ROWS)
BINARY = (SIGNAL + GENERATOR.normal(size=ROWS) > 0).astype(int)


def make_frame(**columns: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [str(number) for number in GENERATOR.permutation(ROWS)],
            "signal": [f"{value:.4f}" for value in SIGNAL],
            "noise": [f"{value:.4f}" for value in GENERATOR.normal(size=ROWS)],
            **columns,
            "target": [str(label) for label in BINARY],
        }
    )


def leaks(frame: pl.DataFrame) -> list[str]:
    labels = LabelEncoder.fit(frame["target"], "binary")
    return find_leakage(frame, labels, "target", "id")


def test_an_honest_table_has_no_suspects() -> None:
    assert leaks(make_frame()) == []


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param([f"{label * 10 + 1.5}" for label in BINARY], id="number"),
        pytest.param([("paid", "failed")[label] for label in BINARY], id="category"),
        pytest.param([None if label else "x" for label in BINARY], id="missing"),
    ],
)
def test_a_column_that_is_the_answer_is_named(cells: list[str | None]) -> None:
    (said,) = leaks(make_frame(outcome=cells))
    assert said.startswith("outcome alone answers target (ROC-AUC 1.000)")


def test_an_id_that_counts_rows_sorted_by_the_answer_is_named() -> None:
    order = np.argsort(BINARY, kind="stable")
    frame = make_frame()[order].with_columns(id=pl.Series([str(i) for i in range(ROWS)]))
    (said,) = leaks(frame)
    assert said.startswith("id tells something of target (ROC-AUC")


def test_regression_and_classes_are_scored_too() -> None:
    target = SIGNAL * 3 + 1
    assert (
        ColumnProbe(target, "regression", seed=0).score(pl.Series("c", [f"{v}" for v in target]))
        > 0.98
    )
    classes = np.digitize(SIGNAL, [-0.5, 0.5])
    words = pl.Series("c", [["a", "b", "c"][number] for number in classes])
    assert ColumnProbe(classes, "multiclass", seed=0).score(words) == 1
    assert ColumnProbe(classes, "multiclass", seed=0).score(pl.Series("c", ["same"] * ROWS)) < 0.5


def test_facts_of_each_column() -> None:
    frame = make_frame(
        half=[None if i % 4 else "a" for i in range(ROWS)], price=[f"${i},000" for i in range(ROWS)]
    )
    facts = describe_frame(frame, target="target")
    by_name = {fact.name: fact for fact in facts.columns}
    assert facts.num_rows == ROWS
    assert by_name["target"].role == "target"
    assert by_name["id"].role == "id"
    assert by_name["half"].missing == 0.75
    assert by_name["half"].role == "left out"  # one value tells nothing but that it is there
    assert (by_name["price"].kind, by_name["price"].values) == (
        "number",
        "0 to 299000, median 149500",
    )
    assert len(facts.examples) == 3
    assert facts.examples[0].startswith("signal: ")


def test_repeated_rows_and_ids_are_named() -> None:
    frame = make_frame()
    frame = pl.concat([frame, frame[:7]])
    warnings = " | ".join(describe_frame(frame, target="target", id_column="id").warnings)
    assert "id repeats on 7 rows" in warnings
    assert "7 rows repeat another row" in warnings


def test_oversized_columns_are_named() -> None:
    frame = make_frame(story=[f"{'word ' * 10}{i}" for i in range(ROWS - 1)] + ["x " * 9000])
    warnings = " | ".join(describe_frame(frame, target="target").warnings)
    assert "story has a cell of 18000 characters" in warnings


def test_classes_too_rare_for_every_fold_are_left_out() -> None:
    words = pl.Series("c", ["a", "b"] * 20 + ["x", "y", "z"])
    classes = np.array([0, 1] * 20 + [2, 3, 4])
    assert ColumnProbe(classes, "multiclass", seed=0).score(words) == 1
    assert ColumnProbe(classes[-3:] - 2, "multiclass", seed=0).score(words[-3:]) == 0


def test_no_value_of_a_number_counts_as_missing_and_of_a_category_as_an_answer() -> None:
    frame = make_frame(
        lot=["NA" if i % 4 == 0 else str(i) for i in range(ROWS)],
        alley=["NA" if i % 4 == 0 else "Grvl" if i % 2 else "Pave" for i in range(ROWS)],
    )
    facts = {fact.name: fact for fact in describe_frame(frame, target="target").columns}
    assert (facts["lot"].missing, facts["lot"].distinct) == (0.25, 225)
    assert (facts["alley"].missing, facts["alley"].distinct) == (0.0, 3)


def test_ranges_are_those_of_the_finite_numbers_in_full() -> None:
    frame = make_frame(
        wide=[["inf", "-inf", "12345678", "1.5"][i % 4] for i in range(ROWS)],
        endless=[["inf", "-inf"][i % 2] for i in range(ROWS)],
    )
    facts = {fact.name: fact for fact in describe_frame(frame, target="target").columns}
    assert facts["wide"].values == "1.5 to 12345678, median 6.17284e+06, some infinite"
    assert facts["endless"].values == "infinite"


def test_columns_that_the_test_table_lacks_are_left_out_as_in_training() -> None:
    frame = make_frame(outcome=[str(label) for label in BINARY])
    assert "outcome alone answers target" in " ".join(
        describe_frame(frame, target="target").warnings
    )
    facts = describe_frame(frame, target="target", test_columns=["id", "signal", "noise"])
    assert {fact.name: fact.role for fact in facts.columns}["outcome"] == "left out"
    assert "left out: outcome (the test table has no such column)" in facts.statements
    assert facts.warnings == ()
    assert "outcome" not in facts.examples[0]


def test_kinds_and_dropped_columns_are_those_of_the_configuration() -> None:
    frame = make_frame(zip=[f"{i % 9}" for i in range(ROWS)])
    facts = describe_frame(
        frame, target="target", kinds={"zip": "category"}, drop_columns=["noise"]
    )
    by_name = {fact.name: fact for fact in facts.columns}
    assert by_name["zip"].kind == "category"
    assert by_name["noise"].role == "left out"
    with pytest.raises(ValueError, match="'nois'; did you mean 'noise'"):
        describe_frame(frame, target="target", drop_columns=["nois"])


def test_words_that_no_entry_spells_are_said() -> None:
    counts = {"note": {"whole": 90, "in_pieces": 9, "unknown": 1}}
    counts["empty"] = dict.fromkeys(counts["note"], 0)
    assert describe_words(counts) == [
        "note: 90.0% of its words are whole entries of the vocabulary, 9.0% are read in pieces, 1.0% are unknown",
        "empty: 0.0% of its words are whole entries of the vocabulary, 0.0% are read in pieces",
    ]
