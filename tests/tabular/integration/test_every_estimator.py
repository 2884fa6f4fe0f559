"""Every task × every estimator: fits, answers in the head's form, and the same bits after save and load."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from bert_playground.ensemble_predictor import load_predictor
from bert_playground.tabular import ESTIMATORS, TabularPredictor, fit_tabular
from tests.tabular.tables import TASKS, fit_on, make_fitted, make_table

pytestmark = pytest.mark.usefixtures("_few_rounds")

WIDTHS = {"multiclass": 3, "ordinal": 3, "multilabel": 2, "timeseries": 3}


def require(name: str) -> None:
    package = ESTIMATORS[name].package
    if package != "scikit-learn" and find_spec(package) is None:
        pytest.skip(f"{package} is not installed; it comes with the extra boost")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.quick_for(
    "boosting-multilabel",
    "catboost-multiclass",
    "constant-ordinal",
    "lightgbm-regression",
    "linear-binary",
)
def test_an_estimator_answers_the_same_after_save_and_load(
    name: str, task: str, tmp_path: Path
) -> None:
    require(name)
    (train, pipeline), later = make_fitted(task), make_table(task, 20, seed=1)
    fitted = fit_tabular(name, pipeline, train, seed=1)
    answer = fitted.score(later)
    assert answer.scores.dtype == np.float32
    assert answer.scores.shape == ((20, WIDTHS[task]) if task in WIDTHS else (20,))
    assert np.isfinite(answer.scores).all()
    assert answer.labels is not None
    assert answer.loss is None
    if task in ("multiclass", "ordinal"):
        np.testing.assert_allclose(answer.scores.sum(axis=1), 1, atol=1e-6)
    saved = fitted.save(tmp_path / "model")
    assert saved.checkpoint == tmp_path / "model"
    loaded = load_predictor(tmp_path / "model")
    assert isinstance(loaded, TabularPredictor)
    np.testing.assert_array_equal(loaded.predict(later), answer.scores)
    assert loaded.answers(answer.scores).height == 20
    assert np.array_equal(loaded.predict(later[:1]), answer.scores[:1])
    assert sorted(tmp_path.iterdir()) == [tmp_path / "model"]


@pytest.mark.parametrize("name", [name for name, each in ESTIMATORS.items() if each.can_stop])
def test_boosting_whose_time_is_over_keeps_the_rounds_that_it_has(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(name)
    (train, pipeline), later = make_fitted("multiclass"), make_table("multiclass", 20, seed=1)
    monkeypatch.setattr("bert_playground.tabular.predictor.LEAST_SECONDS", 0.0)
    stopped = fit_tabular(name, pipeline, train, max_seconds=0.0)
    monkeypatch.setattr("bert_playground.tabular.estimators.ROUNDS", 1)
    np.testing.assert_array_equal(
        stopped.predict(later), fit_tabular(name, pipeline, train).predict(later)
    )
    stopped.save(tmp_path / "model")
    loaded = TabularPredictor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(later), stopped.predict(later))


@pytest.mark.parametrize("name", ["linear", "boosting"])
@pytest.mark.quick_for("boosting")
def test_an_estimator_learns_what_there_is_and_nothing_of_shuffled_labels(name: str) -> None:
    (train, pipeline), later = make_fitted("binary", 300), make_table("binary", 300, seed=1)
    truth = pipeline.encode_labels(later)
    scores = fit_tabular(name, pipeline, train).predict(later)
    assert np.mean((scores > 0.5) == truth) > 0.85
    shuffled = train.with_columns(target=train["target"].shuffle(seed=3))
    scores = fit_tabular(name, fit_on(shuffled, "binary"), shuffled).predict(later)
    share = np.mean((scores > 0.5) == truth)
    assert 0.35 < share < 0.65


@pytest.mark.parametrize("name", ["linear", "boosting"])
@pytest.mark.quick_for("boosting")
def test_an_estimator_gives_the_same_model_twice(name: str) -> None:
    train, pipeline = make_fitted("multiclass")
    first, second = (fit_tabular(name, pipeline, train, seed=4).predict(train) for _ in range(2))
    np.testing.assert_array_equal(first, second)
