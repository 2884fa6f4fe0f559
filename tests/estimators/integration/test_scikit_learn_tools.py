"""The estimators inside what scikit-learn makes of estimators."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

from bert_playground import BertClassifier, BertEmbedder, BertRegressor
from tests.estimators.tiny import TINY, make_table

FEATURES = ["a", "b", "word"]
TABLE = make_table(90)
ROWS, LABELS = TABLE[FEATURES], TABLE["label"].to_list()
FRAME = pd.DataFrame(ROWS.to_dict(as_series=False))


def classifier(**more):
    return BertClassifier(**{"config": TINY, "epochs": 1, "batch_size": 16} | more)


def test_pipeline_after_another_transformer():
    pipeline = make_pipeline(SimpleImputer(), classifier())
    numbers = ROWS[["a", "b"]].to_numpy()
    pipeline.fit(numbers, LABELS, bertclassifier__sample_weight=np.ones(90))
    assert pipeline.predict_proba(numbers).shape == (90, 2)


@pytest.mark.parametrize("rows", [FRAME, ROWS], ids=["pandas", "polars"])
def test_column_transformer_embeds_some_columns(rows):
    transformer = ColumnTransformer(
        [("words", BertEmbedder(config=TINY, epochs=1), ["word"]), ("rest", "passthrough", ["a"])]
    )
    pipeline = make_pipeline(transformer, LogisticRegression())
    assert pipeline.fit(rows, LABELS).score(rows, LABELS) > 0.6
    assert transformer.fit_transform(rows).shape == (90, 33)
    named = transformer.fit(rows).get_feature_names_out()
    assert list(named[[0, -1]]) == ["words__bertembedder0", "rest__a"]


def test_column_transformer_gives_a_series_of_texts():
    texts = pd.DataFrame({"text": [f"film {i % 7} was {label}" for i, label in enumerate(LABELS)]})
    transformer = ColumnTransformer([("text", BertEmbedder(config=TINY, epochs=1), "text")])
    assert transformer.set_output(transform="pandas").fit_transform(texts).shape == (90, 32)


@pytest.mark.medium
def test_cross_val_predict_answers_every_row_once():
    answers = cross_val_predict(classifier(), FRAME, LABELS, cv=3, method="predict_proba")
    assert answers.shape == (90, 2)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    numbers = cross_val_predict(
        BertRegressor(config=TINY, epochs=1), ROWS, TABLE["number"].to_numpy(), cv=3
    )
    assert np.isfinite(numbers).all()


@pytest.mark.slow
def test_grid_search_tries_parameters():
    grid = {"learning_rate": [1e-5, 1e-2], "config": [TINY, TINY | {"head": {"pooling": "mean"}}]}
    search = GridSearchCV(classifier(epochs=3), grid, cv=2, n_jobs=1)
    search.fit(FRAME, LABELS)
    assert search.best_params_["learning_rate"] == 1e-2
    assert search.best_estimator_.score(FRAME, LABELS) > 0.6


@pytest.mark.slow
def test_stacking_with_other_classifiers():
    stack = StackingClassifier(
        [("bert", classifier()), ("dummy", DummyClassifier())], LogisticRegression(), cv=2
    )
    assert stack.fit(ROWS, LABELS).predict_proba(ROWS).shape == (90, 2)


@pytest.mark.medium
def test_calibration():
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(FRAME, LABELS)
    assert list(calibrated.classes_) == ["no", "yes"]
    assert set(calibrated.predict(pl.DataFrame(ROWS))) <= {"no", "yes"}


@pytest.mark.slow
def test_processes_of_joblib_train_each_on_its_own():
    alone = cross_val_predict(classifier(), FRAME, LABELS, cv=2, method="predict_proba")
    shared = cross_val_predict(classifier(), FRAME, LABELS, cv=2, method="predict_proba", n_jobs=2)
    np.testing.assert_array_equal(alone, shared)
