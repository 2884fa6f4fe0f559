"""With shuffled labels a whole run scores at chance: no label reaches a feature, a vocabulary, a bin or the other side."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.training.run import run_training

ROWS, HOUSEHOLD = 1600, 8
KINDS = {"Household": "category"}


def make_rows(folder: Path, *, by_household: bool, is_shuffled: bool) -> Path:
    """Sex and age decide; or, when shuffled, chance does, row by row or household by household."""
    random = np.random.default_rng(0)
    household = np.arange(ROWS) // HOUSEHOLD
    sex, age = random.integers(0, 2, ROWS), random.uniform(1, 80, ROWS)
    labels = (sex + age / 80 + random.normal(0, 0.2, ROWS) > 1).astype(int)
    if is_shuffled:
        labels = random.permutation(labels)
    if by_household:
        labels = labels[household * HOUSEHOLD]
    frame = pl.DataFrame(
        {
            "PassengerId": np.arange(ROWS),
            "Household": [f"H{number}" for number in household],
            "Sex": np.array(["male", "female"])[sex],
            "Age": age.round(1),
            "Note": [f"seen {'often' if i % 3 else 'once'} on trip {i % 40}" for i in range(ROWS)],
            "Survived": labels,
        }
    )
    path = folder / "train.csv"
    order = random.permutation(ROWS) if not by_household else np.arange(ROWS)
    frame[order].write_csv(path)
    return path


def auc_of_run(folder: Path, table: Path, **data: object) -> tuple[float, int]:
    """The ROC-AUC of the best epoch by loss, and the validation rows."""
    flags = {
        "data.train": table,
        "data.target": "Survived",
        "model.hidden_size": 32,
        "model.num_layers": 2,
        "model.num_heads": 2,
        "model.dropout": 0.0,
        "training.epochs": 5,
        "training.output_dir": folder,
        "optimizer.learning_rate": 3e-3,
        **{f"data.{name}": value for name, value in data.items()},
    }
    result = run_training(*load_config(None, environment={}, flags=flags))
    return result.metrics["val_roc_auc"], int(result.summary["val_rows"])


def three_standard_errors(num_rows: int) -> float:
    """Of the ROC-AUC of guesses, for classes of about the same size (Hanley and McNeil 1982)."""
    half = num_rows / 2
    return float(3 * np.sqrt((num_rows + 1) / (12 * half * half)))


@pytest.mark.slow
def test_shuffled_labels_score_at_chance_and_true_ones_do_not(tmp_path: Path) -> None:
    learned, _ = auc_of_run(tmp_path, make_rows(tmp_path, by_household=False, is_shuffled=False))
    assert learned > 0.9
    auc, num_val = auc_of_run(tmp_path, make_rows(tmp_path, by_household=False, is_shuffled=True))
    assert abs(auc - 0.5) < three_standard_errors(num_val)


@pytest.mark.slow
def test_households_straddle_a_plain_split_and_not_a_grouped_one(tmp_path: Path) -> None:
    table = make_rows(tmp_path, by_household=True, is_shuffled=True)
    told, _ = auc_of_run(tmp_path, table, split="stratified", kinds=KINDS)
    assert told > 0.9
    auc, num_val = auc_of_run(
        tmp_path, table, split="grouped", group_column="Household", kinds=KINDS
    )
    assert abs(auc - 0.5) < three_standard_errors(num_val // HOUSEHOLD)
