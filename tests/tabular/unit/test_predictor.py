"""TabularPredictor: the constant, classes without rows, odd tables, and how it is asked."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.tabular import TabularPredictor, available_estimators, fit_tabular
from tests.tabular.tables import fit_on, make_fitted, make_table

pytestmark = pytest.mark.usefixtures("_few_rounds")


def test_the_constant_answers_the_shares_of_the_classes() -> None:
    train, pipeline = make_fitted("multiclass")
    shares = [(train["target"] == name).mean() for name in pipeline.classes]
    scores = fit_tabular("constant", pipeline, train).predict(train[:3])
    np.testing.assert_allclose(scores, np.tile(shares, (3, 1)), rtol=1e-6)


def test_the_constant_answers_the_mean_of_a_number() -> None:
    train, pipeline = make_fitted("regression")
    fitted = fit_tabular("constant", pipeline, train)
    answers = fitted.answers(fitted.predict(train[:2]))["target"]
    np.testing.assert_allclose(answers, [train["target"].mean()] * 2, atol=1e-6)


@pytest.mark.parametrize("name", ["constant", "linear", "boosting"])
def test_a_class_without_training_rows_gets_nothing(name: str) -> None:
    train, pipeline = make_fitted("multiclass", 120)
    rest = train.filter(pl.col("target") != "green")
    scores = fit_tabular(name, pipeline, rest).predict(train)
    place = pipeline.classes.index("green")
    assert (scores[:, place] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_a_label_that_no_row_has_is_never_there(name: str) -> None:
    train, pipeline = make_fitted("multilabel")
    rest = train.filter(pl.col("long") == 0)
    assert (fit_tabular(name, pipeline, rest).predict(train)[:, 1] == 0).all()


@pytest.mark.parametrize("name", ["linear", "boosting"])
@pytest.mark.parametrize("columns", [["said"], ["size"], ["colour"], ["code", "day"], ["kinds"]])
def test_a_table_may_have_a_single_kind_of_column(name: str, columns: list[str]) -> None:
    train = make_table("binary").select(*columns, "target")
    scores = fit_tabular(name, fit_on(train, "binary"), train).predict(train.head(1))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", ["linear", "boosting"])
@pytest.mark.quick_for("boosting")
def test_more_categories_than_histograms_hold_are_saved_and_loaded(
    name: str, tmp_path: Path
) -> None:
    towns = [f"T{row % 300}" for row in range(900)]
    train = make_table("binary", 900).select("size", "target", town=pl.Series(towns))
    fitted = fit_tabular(name, fit_on(train, "binary"), train).save(tmp_path / "model")
    again = TabularPredictor.load(tmp_path / "model").predict(train)
    np.testing.assert_array_equal(again, fitted.predict(train))


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_cells_that_training_never_saw_and_missing_ones_are_answered(name: str) -> None:
    train, pipeline = make_fitted("binary")
    fitted = fit_tabular(name, pipeline, train)
    empty = train.drop("target").clear().with_columns(pl.all().cast(pl.String))
    blank = pl.DataFrame({column: [None, ""] for column in empty.columns}, schema=empty.schema)
    strange = pl.DataFrame({column: ["zzz", "-1e400"] for column in empty.columns})
    assert np.isfinite(fitted.predict(blank)).all()
    assert np.isfinite(fitted.predict(strange)).all()


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_few_rows_that_are_all_the_same_give_the_constant(name: str) -> None:
    train, pipeline = make_fitted("binary")
    same = pl.concat([train[:1].with_columns(target=pl.lit(word)) for word in ("no", "yes", "yes")])
    np.testing.assert_allclose(
        fit_tabular(name, pipeline, same).predict(train[:1]), 2 / 3, rtol=1e-6
    )


def test_the_target_of_a_table_to_predict_is_not_read() -> None:
    train, pipeline = make_fitted("binary")
    fitted = fit_tabular("boosting", pipeline, train)
    unknown = train.with_columns(target=pl.lit("perhaps"))
    np.testing.assert_array_equal(fitted.predict(unknown), fitted.predict(train))
    with pytest.raises(ValueError, match="no training row has: perhaps"):
        fitted.score(unknown)


def test_variants_are_answered_once() -> None:
    train, pipeline = make_fitted("binary")
    fitted = fit_tabular("boosting", pipeline, train)
    np.testing.assert_array_equal(fitted.predict(train, num_variants=3), fitted.predict(train))
    with pytest.raises(ValueError, match="expected at least 1"):
        fitted.predict(train, num_variants=0)


def test_missing_columns_and_rows_are_said() -> None:
    train, pipeline = make_fitted("binary")
    fitted = fit_tabular("linear", pipeline, train)
    with pytest.raises(ValueError, match=r"lacks 1 column\(s\): 'colour'"):
        fitted.predict(train.drop("colour"))
    with pytest.raises(ValueError, match="no rows"):
        fitted.predict(train[:0])
    with pytest.raises(ValueError, match="no rows to fit"):
        fit_tabular("linear", fitted.pipeline, train[:0])


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_playground.tabular.estimators.find_spec", lambda name: None)
    train, pipeline = make_fitted("binary")
    with pytest.raises(ValueError, match=r"lightgbm.*pip install 'bert-playground\[boost\]'"):
        fit_tabular("lightgbm", pipeline, train)
    assert available_estimators() == ("constant", "linear", "boosting")
    with pytest.raises(ValueError, match="unknown estimator 'bosting'; did you mean 'boosting'"):
        fit_tabular("bosting", pipeline, train)
