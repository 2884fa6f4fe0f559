"""The first run in small: tables, folds, answers of all models, and a submission."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.quickstart.run import Effort, answer, run_quickstart
from bert_playground.quickstart.scores import STACK
from bert_playground.runs import RunDir

# `.ci/wheel` runs the whole of it.
pytestmark = [pytest.mark.usefixtures("_few_rounds"), pytest.mark.slow]

TINY = {
    "model.hidden_size": 16,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.vocab_size": 512,
    "training.epochs": 1,
}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
def result(output, _few_rounds):
    return run_quickstart(output, effort=Effort(2, 2, 120, settings=TINY))


def test_all_models_are_scored_on_all_rows(result):
    names = [score.name for score in result.scores]
    assert names == [STACK, "boosting", "TF-IDF + linear", "encoder"]
    assert (result.num_test_rows, result.num_parts) == (120, 2)
    assert result.seconds > 0
    assert result.to_dict()["scores"][0]["name"] == STACK


def test_the_submission_answers_the_rows_put_aside(result):
    test, submission = (pl.read_csv(result.files[name]) for name in ("test", "submission"))
    assert "hit" not in test.columns
    assert submission.columns == ["film", "hit"]
    assert submission["film"].to_list() == test["film"].to_list()
    assert set(submission["hit"]) <= {"no", "yes"}
    train = pl.read_csv(result.files["train"])
    assert not set(train["film"]) & set(test["film"])


def test_the_stack_answers_as_its_folder_does(result):
    folder, test = Path(result.files["checkpoint"]), Path(result.files["test"])
    scores = answer(RunDir(folder), test, {})[STACK]
    again = load_predictor(folder).predict(read_table(test))
    np.testing.assert_allclose(again, scores, rtol=1e-6)
