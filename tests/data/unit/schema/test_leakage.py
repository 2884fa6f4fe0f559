"""Columns that give the target away, whatever the task asks."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_playground.data.schema.column_probe import GIVES_AWAY, ColumnProbe
from bert_playground.data.schema.leakage import find_leakage
from bert_playground.data.targets.fit import fit_targets
from tests.fitting import describe_frame

ROWS = 400
GENERATOR = np.random.default_rng(3)
STEPS = GENERATOR.integers(0, 5, ROWS)
NOISE = GENERATOR.normal(size=ROWS)


def table(**columns: object) -> pl.DataFrame:
    frame = pl.DataFrame({"id": GENERATOR.permutation(ROWS), "noise": NOISE.round(3), **columns})
    return frame.cast(pl.String)


def leaks(frame: pl.DataFrame, target: str, task: str) -> list[str]:
    return find_leakage(frame, fit_targets(frame, target, task), target, "id")


ORDINAL = {"stars": STEPS}
LABELS = {"red": (STEPS > 2).astype(int), "round": (NOISE + STEPS > 2).astype(int)}
NEXT = {"tomorrow": STEPS + NOISE, "later": STEPS * 2 + GENERATOR.normal(size=ROWS)}


@pytest.mark.parametrize(
    ("task", "columns", "giveaway", "said"),
    [
        ("ordinal", ORDINAL, STEPS * 20 + 3, "outcome alone answers stars (R2 1.000)"),
        ("multilabel", LABELS, LABELS["round"] * 7, "outcome alone answers round (ROC-AUC 1.000)"),
        ("timeseries", NEXT, NEXT["later"] * -3, "outcome alone answers later (R2 "),
    ],
)
def test_a_column_that_is_the_answer_is_named(
    task: str, columns: dict[str, np.ndarray], giveaway: np.ndarray, said: str
) -> None:
    target = ",".join(columns)
    assert leaks(table(**columns), target, task) == []
    (found,) = leaks(table(**columns, outcome=giveaway), target, task)
    assert found.startswith(said)


def test_a_list_of_labels_is_looked_through() -> None:
    names = np.array(["a;b", "a", "b;c", "c", ""])
    frame = table(code=np.where(np.isin(STEPS, (2, 3)), "k", "l"), tags=names[STEPS])
    (found,) = leaks(frame, "tags", "multilabel")
    assert found.startswith("code alone answers c (ROC-AUC 1.000)")


@pytest.mark.parametrize(("task", "columns"), [("ordinal", ORDINAL), ("multilabel", LABELS)])
def test_an_id_in_the_order_of_the_answer_is_named(
    task: str, columns: dict[str, np.ndarray]
) -> None:
    frame = table(**columns)[np.argsort(next(iter(columns.values())), kind="stable")]
    frame = frame.with_columns(id=pl.Series([str(i) for i in range(ROWS)]))
    (found,) = leaks(frame, ",".join(columns), task)
    assert found.startswith("id tells something of ")
    assert "keep it out of the text" in found


def test_words_without_a_known_order_are_looked_through_too() -> None:
    words = np.array(["poor", "fair", "good", "fine", "best"])[STEPS]
    frame = table(level=STEPS * 10, grade=words)
    facts = describe_frame(frame, target="grade", task="ordinal")
    assert facts.warnings[0].startswith("level alone answers grade (accuracy 1.000)")
    order = ("poor", "fair", "good", "fine", "best")
    facts = describe_frame(frame, target="grade", task="ordinal", class_order=order)
    assert facts.warnings[0].startswith("level alone answers grade (R2 1.000)")


KINDS = np.array(["neg", "neg", "neg", "neu", "pos"])[STEPS]


@pytest.mark.parametrize(
    ("task", "target", "told"),
    [
        ("multiclass", KINDS, "neg"),
        ("ordinal", np.where(KINDS == "neg", 0, STEPS), "0"),
        ("regression", np.where(KINDS == "neg", 0, NOISE.round(3) * 9), "0.0"),
    ],
)
@pytest.mark.parametrize("kind", ["category", "number", "text"])
def test_a_column_that_tells_one_class_by_having_no_value_is_named(
    task: str, target: np.ndarray, told: str, kind: str
) -> None:
    values = {
        "category": GENERATOR.choice(["late", "rude"], ROWS),
        "number": GENERATOR.normal(size=ROWS).astype(str),
        "text": np.array([f"called on day {i}" for i in range(ROWS)]),
    }[kind]
    why = pl.Series(values).set(pl.Series(KINDS != "neg"), None)
    assert leaks(table(y=target), "y", task) == []
    (found,) = leaks(table(y=target, why=why), "y", task)
    assert found.startswith(f"why alone tells y {told} (ROC-AUC 1.000) from the rest, by whether")


def test_a_value_that_only_one_class_has_is_named() -> None:
    code = np.where(KINDS == "neu", "k", GENERATOR.choice(["l", "m"], ROWS))
    (found,) = leaks(table(y=KINDS, code=code), "y", "multiclass")
    assert found.startswith("code alone tells y neu (ROC-AUC 1.000) from the rest: is it known")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_many_columns_of_numbers_score_as_one_by_one(task: str) -> None:
    random = np.random.default_rng(7)
    values = random.normal(size=(6, 150)).astype(np.float32)
    values[:3][random.random((3, 150)) < 0.2] = np.nan
    values = np.vstack([np.repeat(np.float32([-1, 0, 1]), 50), values])
    truth = {
        "binary": (values[0] > 0).astype(int),
        "multiclass": np.digitize(values[0], [-0.7, 0.7]),
    }.get(task, values[0].astype(np.float64))
    probe = ColumnProbe(truth, task, seed=0)
    columns = [
        pl.Series("x", [None if np.isnan(x) else repr(float(x)) for x in each]) for each in values
    ]
    expected = np.array([probe.score(column) for column in columns])
    np.testing.assert_allclose(probe.score_numbers(values), expected, rtol=1e-12)
    found = probe.score_numbers(values, GIVES_AWAY[task])
    gives_away = expected >= GIVES_AWAY[task]
    assert gives_away[0]
    np.testing.assert_allclose(found[gives_away], expected[gives_away], rtol=1e-12)
    assert (found[~gives_away] < GIVES_AWAY[task]).all()  # whatever they are


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@settings(max_examples=8)  # each fits a dozen trees
@given(
    num_values=st.integers(1, 40), noise=st.sampled_from([0.0, 0.1, 1.0]), seed=st.integers(0, 99)
)
def test_no_column_scores_more_than_its_different_cells_could(
    task: str, num_values: int, noise: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    cells = random.integers(0, num_values, 60)
    truth = cells + noise * num_values * random.normal(size=60)
    if task != "regression":
        edges = np.quantile(truth, [0.5] if task == "binary" else [0.3, 0.6])
        truth = np.digitize(truth, edges)
    probe = ColumnProbe(truth, task, seed)
    words = pl.Series("word", [f"w{cell}" for cell in cells])
    for column, are_words in ((words, False), (words, True), (words.str.strip_chars("w"), False)):
        limit = probe.limits(cells[None], are_words=are_words)[0]
        assert probe.score(column) <= limit + 1e-9
        if task != "regression":
            scores = probe.score_classes(column).values()
            (limit_of_classes,) = probe.limits_of_classes(cells[None], are_words=are_words)
            assert max(scores, default=0) <= limit_of_classes + 1e-9


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_limits_of_many_columns_are_those_of_each(task: str) -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 2 if task == "binary" else 3, 45)
    codes = np.stack([random.integers(0, n, 45) for n in (1, 2, 9, 45)] + [np.arange(45)])
    probe = ColumnProbe(truth.astype(np.float64 if task == "regression" else np.int64), task, 0)
    for are_words in (False, True):
        limits = probe.limits(codes, are_words=are_words)
        alone = [probe.limits(each[None], are_words=are_words)[0] for each in codes]
        np.testing.assert_allclose(limits, alone, rtol=1e-12)
    assert probe.limits(codes[-1:])[0] == pytest.approx(1)  # each cell could have its own answer
    if task != "regression":
        assert limits[-1] == pytest.approx(
            probe.limits(codes[:1])[0]
        )  # no cell stands in two folds
