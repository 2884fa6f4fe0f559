"""What the estimators answer: the same as the command line, on every kind of table, before and after a copy."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from typer.testing import CliRunner

from bert_playground import BertClassifier, BertEmbedder, BertRegressor
from bert_playground.cli.app import app
from tests.estimators.tiny import TINY, make_table

FEATURES = ["a", "b", "word"]
SETTINGS = {"epochs": 2, "batch_size": 16, "config": TINY, "random_state": 3}
TABLE, LATER = make_table(), make_table(40, seed=1)


@pytest.fixture(scope="module")
def classifier():
    return BertClassifier(**SETTINGS).fit(TABLE[FEATURES], TABLE["label"])


@pytest.fixture(scope="module")
def regressor():
    return BertRegressor(**SETTINGS).fit(TABLE[FEATURES], TABLE["number"])


@pytest.mark.parametrize(("target", "task"), [("label", "classifier"), ("number", "regressor")])
@pytest.mark.quick_for("label-classifier")
def test_the_command_line_gives_equal_numbers(target, task, request, tmp_path):
    estimator = request.getfixturevalue(task)
    TABLE[[*FEATURES, target]].write_csv(tmp_path / "learn.csv")
    LATER[FEATURES].write_csv(tmp_path / "ask.csv")
    options = (
        "--epochs 2 --batch-size 16 --seed 3 --set model.hidden_size=32 --set model.num_layers=1"
    )
    trained = CliRunner().invoke(
        app,
        ["train", "--train", str(tmp_path / "learn.csv"), "--target", target, *options.split(),
         "--set", "model.num_heads=2", "--output-dir", str(tmp_path / "runs")],
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    (run,) = (tmp_path / "runs").iterdir()
    answer = ["predict", "--checkpoint", str(run), "--test", str(tmp_path / "ask.csv"), "--output"]
    for more, name in (([], "answers.csv"), (["--proba"], "proba.csv")):
        if task == "classifier" or not more:
            done = CliRunner().invoke(app, [*answer, str(tmp_path / name), *more])
            assert done.exit_code == 0, done.output
    answers = pl.read_csv(tmp_path / "answers.csv")[target].to_numpy()
    ours = estimator.predict(LATER[FEATURES])
    if task == "regressor":
        np.testing.assert_allclose(ours, answers, rtol=1e-12)
        return
    assert (ours == answers).all()
    proba = pl.read_csv(tmp_path / "proba.csv")[:, -2:].to_numpy()
    np.testing.assert_allclose(estimator.predict_proba(LATER[FEATURES]), proba, atol=1e-12)


def test_they_learn(classifier, regressor):
    assert classifier.score(TABLE[FEATURES], TABLE["label"]) > 0.7
    assert list(classifier.classes_) == ["no", "yes"]
    assert classifier.predict_proba(LATER[FEATURES]).shape == (40, 2)
    assert np.isfinite(regressor.predict(LATER[FEATURES])).all()
    assert regressor.n_iter_ == 2
    assert classifier.summary_["train_rows"] + classifier.summary_["val_rows"] == 120


class OfArrow:
    """A table of a library that is not known here, but speaks Arrow's C interface."""

    def __init__(self, frame):
        self.__arrow_c_stream__ = frame.__arrow_c_stream__
        self.columns, self.shape = frame.columns, frame.shape


def test_frames_of_all_libraries_are_one_table(classifier):
    frame = LATER[FEATURES]
    expected = classifier.predict_proba(frame)
    for same in (frame.lazy(), pd.DataFrame(frame.to_dict(as_series=False)), OfArrow(frame)):
        assert (classifier.predict_proba(same) == expected).all()


def test_a_matrix_has_columns_by_number_and_none_of_them_is_an_id():
    matrix = np.column_stack([np.arange(120), TABLE["a"].to_numpy()])
    fitted = BertRegressor(**SETTINGS).fit(matrix, np.arange(120.0))
    assert fitted.checkpoint_.predictor.pipeline.id_column is None
    assert set(fitted.checkpoint_.predictor.pipeline.columns) == {"x0", "x1"}


def test_texts_are_lists_arrays_and_series():
    texts = ["a good day", "a bad day", "good film", None] * 12
    labels = [1, 0, 1, 0] * 12
    fitted = BertClassifier(**SETTINGS).fit(texts, labels)
    expected = fitted.predict_proba(texts)
    for same in (np.array(texts, dtype=object), pd.Series(texts), pl.Series(texts), tuple(texts)):
        assert (fitted.predict_proba(same) == expected).all()
    assert fitted.predict(texts).dtype == np.int64


@pytest.mark.parametrize(
    "labels", [[True, False], [2.0, 5.0], ["x y", "z"], pd.Series(["n", "p"], dtype="category")]
)
def test_classes_come_back_as_they_were(labels):
    target = list(labels) * 30
    fitted = BertClassifier(config=TINY, epochs=1).fit(TABLE[FEATURES][:60], target)
    assert list(fitted.classes_) == sorted(labels)
    assert set(fitted.predict(TABLE[FEATURES])) <= set(labels)


def test_classes_that_are_the_same_as_text_are_refused():
    with pytest.raises(ValueError, match="the same as text"):
        BertClassifier(config=TINY, epochs=1).fit(TABLE[FEATURES], ["x", " x"] * 60)


@pytest.mark.parametrize("way", ["pickle", "joblib", "deepcopy", "checkpoint"])
def test_a_copy_answers_alike(classifier, way, tmp_path):
    if way == "joblib":
        buffer = io.BytesIO()
        joblib.dump(classifier, buffer)
        buffer.seek(0)
        copied = joblib.load(buffer)
    elif way == "checkpoint":
        assert classifier.to_checkpoint(tmp_path / "model") == tmp_path / "model"
        copied = BertClassifier.from_checkpoint(tmp_path / "model")
    else:
        copied = {"pickle": lambda it: pickle.loads(pickle.dumps(it)), "deepcopy": copy.deepcopy}[
            way
        ](classifier)
    assert (copied.classes_ == classifier.classes_).all()
    assert copied.checkpoint_.folder != classifier.checkpoint_.folder
    for ask in ("predict", "predict_proba"):
        ours = getattr(classifier, ask)(LATER[FEATURES])
        assert (getattr(copied, ask)(LATER[FEATURES]) == ours).all()


def test_the_folder_goes_with_the_estimator(classifier):
    copied = copy.deepcopy(classifier)
    folder = copied.checkpoint_.folder
    assert (folder / "model.safetensors").is_file()
    del copied
    assert not folder.exists()


def test_a_checkpoint_of_another_question_is_refused(classifier, tmp_path):
    classifier.to_checkpoint(tmp_path / "model")
    with pytest.raises(ValueError, match="BertRegressor is for regression"):
        BertRegressor.from_checkpoint(tmp_path / "model")
    with pytest.raises(ValueError, match="exists already"):
        classifier.to_checkpoint(tmp_path / "model")


def test_a_clone_has_the_parameters_and_no_model(classifier):
    copied = clone(classifier)
    assert copied.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError, match="not fitted yet"):
        copied.predict(LATER[FEATURES])


@pytest.mark.medium
def test_weights_decide_what_is_learned():
    contradicted = pl.concat([TABLE, TABLE.with_columns(label=pl.lit("no"))])
    settings = SETTINGS | {"epochs": 6}
    trusted = np.r_[np.ones(120), np.full(120, 1e-3)]
    weighted = BertClassifier(**settings).fit(
        contradicted[FEATURES], contradicted["label"], sample_weight=trusted
    )
    plain = BertClassifier(**settings).fit(contradicted[FEATURES], contradicted["label"])
    recall = [
        (each.predict_proba(LATER[FEATURES])[:, 1] > 0.5).mean() for each in (weighted, plain)
    ]
    assert recall[0] > recall[1]


def test_rows_of_weight_zero_leave_no_trace():
    both = pl.concat([TABLE, LATER])
    weights = np.r_[np.ones(120), np.zeros(40)]
    weighted = BertRegressor(**SETTINGS).fit(both[FEATURES], both["number"], weights)
    without = BertRegressor(**SETTINGS).fit(TABLE[FEATURES], TABLE["number"], np.ones(120))
    ours, expected = weighted.predict(LATER[FEATURES]), without.predict(LATER[FEATURES])
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.medium
def test_class_weights_by_name_are_weights_of_rows():
    weights = {"no": 1.0, "yes": 3.0}
    by_class = BertClassifier(**SETTINGS, class_weight=weights)
    by_row = BertClassifier(**SETTINGS)
    by_class.fit(TABLE[FEATURES], TABLE["label"])
    by_row.fit(TABLE[FEATURES], TABLE["label"], [weights[label] for label in TABLE["label"]])
    ours, expected = (each.predict_proba(LATER[FEATURES]) for each in (by_class, by_row))
    np.testing.assert_array_equal(ours, expected)


def test_training_stops_early_on_the_validation_rows_that_are_given():
    noise = np.random.default_rng(0).normal(size=120)
    estimator = BertRegressor(config=TINY, epochs=40, patience=1, random_state=0)
    estimator.fit(TABLE[FEATURES], noise, eval_set=(LATER[FEATURES], noise[:40]))
    assert estimator.summary_["val_rows"] == 40
    assert estimator.summary_["train_rows"] == 120
    assert estimator.n_iter_ < 40


def test_a_run_folder_stays_where_it_is_wanted(tmp_path):
    estimator = BertClassifier(**SETTINGS, output_dir=tmp_path / "runs")
    estimator.fit(TABLE[FEATURES], TABLE["label"])
    assert (estimator.run_dir_ / "summary.json").is_file()
    again = BertClassifier.from_checkpoint(estimator.run_dir_)
    assert (again.predict(LATER[FEATURES]) == estimator.predict(LATER[FEATURES])).all()


@pytest.mark.medium
def test_progress_is_shown_where_it_is_wanted(capsys):
    for verbose, is_shown in ((0, False), (1, True)):
        BertClassifier(**SETTINGS, verbose=verbose).fit(TABLE[FEATURES], TABLE["label"])
        shown = capsys.readouterr()
        assert ("epoch 2/2" in shown.err) is is_shown
        assert shown.out == ""


def test_a_notebook_shows_parameters_and_scores(classifier):
    shown = classifier._repr_html_()
    assert "random_state" in shown
    assert "val_accuracy" in shown
    assert "validation rows" not in BertClassifier()._repr_html_()


def test_deviations_are_asked_of_a_model_that_knows_them(regressor):
    with pytest.raises(ValueError, match="uncertainty_estimation"):
        regressor.predict(LATER[FEATURES], return_std=True)
    config = TINY | {"head": {"uncertainty_estimation": True}}
    unsure = BertRegressor(config=config, epochs=1).fit(TABLE[FEATURES], TABLE["number"])
    means, deviations = unsure.predict(LATER[FEATURES], return_std=True)
    assert means.shape == deviations.shape == (40,)
    assert (deviations > 0).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"config": {"data": {"train": "train.csv"}}}, "data.train: the rows are the X of fit"),
        ({"config": {"ensemble": {"num_models": 2}}}, "VotingClassifier"),
        ({"config": {"data": {"task": "regression"}}}, "asks for task regression"),
        ({"config": {"modle": {"dropout": 0}}}, "unknown key"),
        ({"epochs": 0}, "should be greater than 0"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"class_weight": "balance"}, "did you mean 'balanced'"),
        ({"config": TINY | {"checkpoint": {"enable_checkpointing": False}}}, "is its checkpoint"),
    ],
)
def test_impossible_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        BertClassifier(**{"config": TINY, "epochs": 1} | parameters).fit(
            TABLE[FEATURES], TABLE["label"]
        )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("one text", "several; give a list of texts"),
        (TABLE[FEATURES].with_columns(a=pl.lit(np.inf)), "infinity in a"),
        (TABLE[FEATURES][:0], "0 sample"),
        (np.ones((120, 2), dtype=complex), "Complex data not supported"),
        (TABLE[FEATURES][:7], "inconsistent numbers of samples"),
    ],
)
def test_impossible_rows_are_named(rows, message):
    with pytest.raises(ValueError, match=message):
        BertClassifier(config=TINY, epochs=1).fit(rows, TABLE["label"])


def test_an_embedder_pretrains_on_the_rows_or_takes_a_checkpoint(classifier, tmp_path):
    own = BertEmbedder(config=TINY, epochs=1).fit(TABLE[FEATURES])
    vectors = own.transform(LATER[FEATURES])
    assert vectors.shape == (40, 32)
    assert own.summary_["task"] == "hidden words"
    assert list(own.get_feature_names_out())[:2] == ["bertembedder0", "bertembedder1"]
    copied = pickle.loads(pickle.dumps(own))
    assert (copied.transform(LATER[FEATURES]) == vectors).all()
    own.to_checkpoint(tmp_path / "encoder")
    frozen = BertEmbedder(model=tmp_path / "encoder").fit(TABLE[FEATURES])
    assert frozen.summary_ is None
    np.testing.assert_allclose(frozen.transform(LATER[FEATURES]), vectors, atol=1e-6)
    read = BertEmbedder.from_checkpoint(tmp_path / "encoder", pooling="cls")
    assert np.abs(read.transform(LATER[FEATURES]) - vectors).max() > 1e-3
    with pytest.raises(ValueError, match="unknown pooling"):
        own.set_params(pooling="middle").transform(LATER[FEATURES])
