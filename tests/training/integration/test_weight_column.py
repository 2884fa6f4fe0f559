"""data.weight_column: no feature, in the loss, and refused where rows have no weight of their own."""

import json

import numpy as np
import polars as pl
import pytest

from bert_playground.config import load_config
from bert_playground.inference import Predictor
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.run import run_training


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    random = np.random.default_rng(0)
    value = random.normal(size=80)
    label = np.where(value > 0, "yes", "no")
    path = tmp_path_factory.mktemp("weights") / "learn.csv"
    frame = pl.DataFrame({"value": value, "importance": np.arange(80) % 4, "label": label})
    frame.write_csv(path)
    return path


def configure(table, tmp_path, **more):
    values = {
        "data.train": table,
        "data.target": "label",
        "data.weight_column": "importance",
        "model.hidden_size": 32,
        "model.num_layers": 1,
        "model.num_heads": 2,
        "training.epochs": 1,
        "training.output_dir": tmp_path / "runs",
    }
    return load_config(flags=values | more)


def test_weights_are_learned_by_and_not_read(table, tmp_path):
    weighted = run_training(*configure(table, tmp_path))
    plain = run_training(
        *configure(
            table, tmp_path, **{"data.weight_column": None, "data.drop_columns": ("importance",)}
        )
    )
    predictor = Predictor.load(weighted.best_checkpoint)
    assert predictor.pipeline.columns == ["value"]
    assert weighted.metrics["val_loss"] != plain.metrics["val_loss"]
    rows = pl.DataFrame({"value": ["0.5", "-0.5"]})
    assert predictor.predict(rows).shape == (2,)
    stored = json.loads(weighted.run_dir.config.read_text())
    assert stored["values"]["data"]["weight_column"] == "importance"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"data.weight_column": "importence"}, "did you mean 'importance'"),
        ({"data.weight_column": "label"}, "data.weight_column names 'label'"),
        ({"data.weight_column": "value"}, "no number of at least 0"),
        ({"data.streaming": True}, "data.weight_column need the whole table"),
        ({"data.horizon": 2, "data.time_column": "value"}, "rows become windows"),
    ],
)
def test_what_has_no_weight_is_refused(table, tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        run_training(*configure(table, tmp_path, **setting))


def test_models_beside_the_encoder_have_no_weights(table, tmp_path):
    asked = {"cross_validation.folds": 2, "cross_validation.members": ("linear",)}
    with pytest.raises(ValueError, match=r"reads no data\.weight_column"):
        run_cross_validation(*configure(table, tmp_path, **asked))
