"""compare_runs: paired over the same folds, over the same rows, or not at all."""

import numpy as np
import pytest

from bert_playground.training.comparison.compare import compare_runs
from bert_playground.training.comparison.paired import Paired
from bert_playground.training.cross_validation.cross_validate import run_cross_validation

FOLDS = {
    "cross_validation.folds": 3,
    "cross_validation.members": ["constant"],
    "data.text_columns": [],
    "data.drop_columns": ["kind", "note", "price"],
}
ONE = {"training.epochs": 1}


def test_a_difference_is_shown_beyond_two_standard_errors():
    gains = np.array([0.1, 0.2, 0.3])
    paired = Paired.of("b", "a", "accuracy", gains, "folds")
    assert paired.gain == pytest.approx(0.2)
    assert paired.error == pytest.approx(0.1 / np.sqrt(3))
    assert paired.say() == "accuracy: b is better than a by 0.2000 ± 0.0577 (paired over 3 folds)"
    close = Paired.of("b", "a", "accuracy", np.array([0.010, -0.002]), "folds")
    assert close.say() == (
        "accuracy: b is better than a by 0.0040 ± 0.0060: not shown to be better (paired over 2 folds)"
    )
    worse = Paired.of("b", "a", "loss", -gains, "rows")
    assert worse.say().startswith("loss: a is better than b by 0.2000")
    assert (
        Paired.of("b", "a", "loss", np.zeros(4), "rows").say()
        == "loss: b and a are equal (paired over 4 rows)"
    )


@pytest.mark.medium
def test_runs_on_the_same_folds_are_paired_over_them(train_once):
    first = train_once(by=run_cross_validation, **FOLDS)
    linear = train_once(by=run_cross_validation, **FOLDS | {"cross_validation.members": ["linear"]})
    (paired,) = compare_runs([first.run_dir, linear.run_dir]).paired
    scores = [run.summary["blend"]["fold_scores"] for run in (linear, first)]
    gains = np.array(list(scores[0].values())) - np.array(list(scores[1].values()))
    assert paired.units == "folds"
    assert paired.gain == pytest.approx(gains.mean())
    assert paired.error == pytest.approx(gains.std(ddof=1) / np.sqrt(3))
    assert paired.gain > 0.2
    assert paired.is_shown


@pytest.mark.medium
def test_other_folds_of_the_same_rows_are_paired_over_rows(train_once):
    first = train_once(by=run_cross_validation, **FOLDS)
    other = train_once(by=run_cross_validation, **FOLDS | {"training.seed": 1})
    comparison = compare_runs([first.run_dir, other.run_dir])
    assert {each.units for each in comparison.paired} == {"rows"}
    assert {each.num_pairs for each in comparison.paired} == {120}


@pytest.mark.medium
def test_single_runs_of_one_split_are_paired_over_its_rows(train_once):
    learned, begun = train_once(), train_once(**ONE)
    comparison = compare_runs([begun.run_dir, learned.run_dir])
    by_measure = {each.measure: each for each in comparison.paired}
    accuracies = [run.metrics["val_accuracy"] for run in (learned, begun)]
    assert by_measure["accuracy"].gain == pytest.approx(accuracies[0] - accuracies[1])
    losses = [run.metrics["val_log_loss"] for run in (learned, begun)]
    assert by_measure["log_loss"].gain == pytest.approx(losses[1] - losses[0], abs=1e-5)
    assert comparison.settings["training.epochs"] == (1, 4)


@pytest.mark.medium
def test_runs_of_other_rows_or_questions_cannot_be_told(train_once):
    first, other = train_once(), train_once("price")
    (why,) = compare_runs([first.run_dir, other.run_dir]).untold
    assert "they answer different questions, price (regression) and sold (binary)" in why
