"""predict.py's models beside the encoder: what they see, and what they answer, is what ours do."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from bert_playground.config.schema import DataSection
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.reading.table import as_text
from bert_playground.export.onnx.plan import compile_tabular
from bert_playground.export.onnx.standalone_rows import complete
from bert_playground.export.onnx.standalone_tabular import TabularMember, link, walk_trees
from bert_playground.export.onnx.tabular_arrays import tree_arrays, write_tabular
from bert_playground.tabular import ESTIMATORS, fit_tabular
from tests.export.unit.test_onnx_plan import make_frame, make_strange
from tests.fitting import fit_pipeline
from tests.tabular.tables import TASKS, make_fitted, make_table

pytestmark = pytest.mark.usefixtures("_few_rounds")
TABLES = ("every kind", *TASKS)
QUICK = ("linear-every kind", "boosting-every kind", "lightgbm-multiclass", "catboost-regression")


def require(name: str) -> None:
    package = ESTIMATORS[name].package
    if package != "scikit-learn" and find_spec(package) is None:
        pytest.skip(f"{package} is not installed; it comes with the extra boost")


def make(table: str) -> tuple[pl.DataFrame, TextPipeline, list[pl.DataFrame]]:
    """Training rows, their pipeline, and tables that are asked later."""
    if table != "every kind":
        train, pipeline = make_fitted(table)
        return train, pipeline, [make_table(table, 40, seed=1)]
    train = make_frame(150, 0)
    pipeline = fit_pipeline(train, DataSection(target="y"))
    return train, pipeline, [make_frame(60, 1), make_strange(make_frame(2, 0))]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.quick_for(*QUICK)
def test_it_answers_as_the_model_that_was_exported(name: str, table: str, tmp_path: Path) -> None:
    require(name)
    train, pipeline, later = make(table)
    fitted = fit_tabular(name, pipeline, train, seed=1)
    write_tabular(fitted, tmp_path / "model")
    plan = json.loads(json.dumps(compile_tabular(pipeline)))
    alone = TabularMember(tmp_path / "model", plan)
    for frame in later:
        rows = as_text(frame.drop(pipeline.targets, strict=False))
        read = pipeline.watch_drift().read(rows)
        np.testing.assert_allclose(
            alone.score(read.to_dicts()), fitted.score_read(read), rtol=1e-5, atol=1e-6
        )


def test_what_trees_see_is_the_same_cell_by_cell(tmp_path: Path) -> None:
    train, pipeline, later = make("every kind")
    fitted = fit_tabular("boosting", pipeline, train, seed=1)
    kinds = {view.kind for view in fitted.features.views}
    assert kinds >= {"number", "category", "items", "text", "string"}
    write_tabular(fitted, tmp_path / "model")
    alone = TabularMember(tmp_path / "model", compile_tabular(pipeline))
    for frame in later:
        read = pipeline.watch_drift().read(as_text(frame.drop("y", strict=False)))
        ours = fitted.features.transform(pipeline, read)
        theirs = alone.columns.dense(complete(read.to_dicts(), alone.plan))
        np.testing.assert_allclose(theirs, ours.values, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(alone.columns.is_category(), ours.is_category)


@pytest.mark.parametrize("has_categories", [False, True])
@pytest.mark.parametrize("num_classes", [None, 2, 3])
def test_trees_of_scikit_learn_are_walked_to_the_same_leaves(
    num_classes: int | None, has_categories: bool
) -> None:
    random = np.random.default_rng(0)

    def draw(count: int, num_codes: int) -> np.ndarray:
        values = random.normal(size=(count, 4))
        values[:, 1] = random.integers(0, num_codes, count)
        values[:, 3] = random.integers(0, num_codes // 4, count) * 3
        values[::7, 0] = values[::11, 1] = np.nan
        return values

    train, later = draw(900, 40), draw(300, 60)  # with codes that no training row had
    size = np.nan_to_num(train[:, 0]) + 2 * (train[:, 1] % 3 == 0) + (train[:, 3] > 6)
    kind = HistGradientBoostingRegressor if num_classes is None else HistGradientBoostingClassifier
    model = kind(
        max_iter=30,
        min_samples_leaf=5,
        categorical_features=np.array([False, True, False, True]) if has_categories else None,
    )
    targets = {None: size, 2: size > 1, 3: np.digitize(size, [0, 1.5])}[num_classes]
    model.fit(train, targets)
    expected = model.predict(later) if num_classes is None else model.predict_proba(later)
    found = link(walk_trees(tree_arrays(model), later), num_classes)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
