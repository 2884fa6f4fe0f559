"""A fine-tuned checkpoint goes on with another table: its classifier where the classes are the same, else a new one."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bert_playground.config.schema import RunConfig
from bert_playground.training import run_training

LEARNING = {
    "training.epochs": 12,
    "optimizer.learning_rate": 5e-3,
    "training.early_stopping_patience": 0,
}
ONE_STEP = {"training.epochs": 1, "training.max_steps": 1, "optimizer.learning_rate": 1e-9}


@pytest.mark.parametrize(
    ("lime", "least", "said"),
    [
        # Capitals come first: the classes change places, and a head by position would answer others.
        ("LIME", 0.95, "answers apple, banana, lime and is kept, its rows in the order of this"),
        ("citrus", None, "this table apple, banana, citrus: a new classifier"),
    ],
)
@pytest.mark.medium
def test_the_classes_of_the_next_table_decide(
    lime: str,
    least: float | None,
    said: str,
    make_config: Callable[..., RunConfig],
    fruit: Path,
    tmp_path: Path,
) -> None:
    first = run_training(make_config("kind", **LEARNING))
    frame = pl.read_csv(fruit)
    table = tmp_path / "next.csv"
    frame.with_columns(pl.col("kind").replace("lime", lime)).write_csv(table)
    settings = {
        "data.train": table,
        "model.pretrained": str(first.best_checkpoint),
        **ONE_STEP,
    }
    second = run_training(make_config("kind", **settings))
    assert said in second.run_dir.train_log.read_text()
    if least is not None:
        assert second.metrics["val_accuracy"] >= least
