"""Every task from CSV to answers: train, predict, calibrate, on a small table whose answers can be learnt."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config.schema import RunConfig
from bert_playground.data.reading.table import read_table
from bert_playground.inference import Predictor
from bert_playground.models.heads import HEADS, RegressionHead
from bert_playground.training import create_trainer, run_training
from bert_playground.training.evaluation.calibrate import calibrate

ROWS = 120
LEARNING = {
    "training.epochs": 7,
    "optimizer.learning_rate": 1e-2,
    "training.early_stopping_patience": 0,
}
TARGETS = ("red", "heavy", "tags", "grade", "h1", "h2", "price")


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which colour and size decide every target; shop is noise."""
    random = np.random.default_rng(3)
    colour = random.choice(["green", "red", "yellow"], ROWS)
    size = random.choice(["small", "medium", "large"], ROWS)
    number = np.select([size == "small", size == "medium"], [0, 1], 2)
    red, heavy = (colour == "red").astype(int), np.where(size == "large", "yes", "no")
    tags = [
        ";".join(filter(None, ("big" * int(n == 2), "red" * r)))
        for r, n in zip(red, number, strict=True)
    ]
    noise = random.normal(0, 0.1, ROWS)
    table = pl.DataFrame(
        {
            "id": np.arange(1000, 1000 + ROWS),
            "colour": colour,
            "size": size,
            "shop": random.choice(["north", "south"], ROWS),
            "red": red,
            "heavy": heavy,
            "tags": tags,
            "grade": np.array(["low", "middle", "top"])[number],
            "h1": 3.0 + number + noise,
            "h2": -20.0 + 10 * red + noise,
            "price": 100.0 + 40 * number + 10 * noise,
        }
    )
    path = tmp_path_factory.mktemp("garden") / "train.csv"
    table.write_csv(path)
    return path


@pytest.fixture
def configure(make_config, garden: Path):
    """A function (target, settings) that gives a small configuration for the garden."""

    def configure(target: str, **settings: object) -> RunConfig:
        others = sorted(set(TARGETS) - set(target.split(",")))
        return make_config(
            target, **{**LEARNING, "data.train": garden, "data.drop_columns": others, **settings}
        )

    return configure


@pytest.mark.medium
def test_label_columns_are_learnt_and_answered_in_their_words(configure, garden: Path) -> None:
    result = run_training(configure("red,heavy"))
    assert result.summary["task"] == "multilabel"
    assert result.metrics["val_roc_auc"] >= 0.95
    predictor, frame = Predictor.load(result.run_dir.path), read_table(garden)
    answers = predictor.answers(predictor.predict(frame))
    assert answers.columns == ["red", "heavy"]
    assert (answers["heavy"] == frame["heavy"]).mean() >= 0.9
    values = json.loads((result.run_dir.best / "config.json").read_text())
    assert values["problem_type"] == "multi_label_classification"
    assert values["id2label"] == {"0": "red", "1": "heavy"}


@pytest.mark.medium
def test_label_lists_learn_thresholds_that_are_stored_and_used(configure, garden: Path) -> None:
    settings = {"data.task": "multilabel", "head.adaptive_threshold": True}
    more = {"head.pos_weight": "balanced", "training.refit": True}
    result = run_training(configure("tags", **settings, **more))
    told = result.summary["thresholds"]
    assert set(told["thresholds"]) == {"big", "red"}
    assert told["f1_macro"] >= told["f1_macro_at_half"]
    run = result.run_dir
    best, again = (Predictor.load(folder).model.head.config for folder in (run.best, run.refit))
    assert best.thresholds == again.thresholds  # no row is left to tune others on
    for folder in (result.run_dir.best, result.run_dir.final):
        predictor = Predictor.load(folder)
        assert len(predictor.model.head.config.thresholds) == 2
    frame = read_table(garden)
    answers = predictor.answers(predictor.predict(frame))
    assert (answers["tags"] == frame["tags"].fill_null("")).mean() >= 0.9


@pytest.mark.parametrize("use_link", [True, False])
@pytest.mark.quick_for("True")
def test_ordered_classes_are_learnt_in_their_order(configure, garden: Path, use_link: bool) -> None:
    settings = {
        "data.task": "ordinal",
        "data.class_order": ["low", "middle", "top"],
        "head.use_cumulative_link": use_link,
        "head.class_weights": "balanced",
    }
    result = run_training(configure("grade", **settings))
    assert result.metrics["val_quadratic_kappa"] >= 0.9
    predictor, frame = Predictor.load(result.run_dir.path), read_table(garden)
    assert predictor.pipeline.classes == ("low", "middle", "top")
    assert (predictor.labels(frame) == frame["grade"]).mean() >= 0.9
    assert np.allclose(predictor.predict(frame).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("use_temporal", [True, False])
@pytest.mark.quick_for("True")
def test_steps_are_forecast_in_their_units(configure, garden: Path, use_temporal: bool) -> None:
    result = run_training(configure("h1,h2", **{"head.use_temporal_features": use_temporal}))
    assert result.summary["task"] == "timeseries"
    assert result.metrics["val_r2"] >= 0.8
    predictor, frame = Predictor.load(result.run_dir.path), read_table(garden)
    answers = predictor.answers(predictor.predict(frame))
    assert answers.columns == ["h1", "h2"]
    assert np.abs(answers["h2"].to_numpy() - frame["h2"].cast(pl.Float64).to_numpy()).mean() < 2


@pytest.mark.medium
def test_a_regression_knows_its_uncertainty_in_the_units_of_the_target(
    configure, garden: Path
) -> None:
    result = run_training(configure("price", **{"head.uncertainty_estimation": True}))
    assert result.metrics["val_r2"] >= 0.8
    assert {"val_coverage_68", "val_coverage_95"} <= set(result.metrics)
    predictor, frame = Predictor.load(result.run_dir.path), read_table(garden)
    answers = predictor.answers(predictor.predict(frame))
    assert answers.columns == ["price", "price_std"]
    deviations = answers["price_std"].to_numpy()
    assert (deviations > 0).all()
    assert deviations.max() < frame["price"].cast(pl.Float64).std()


@pytest.mark.medium
def test_a_head_of_ones_own_trains_by_one_assignment(
    configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Quantile(RegressionHead):
        head_type = "quantile"

        def row_losses(self, logits: mx.array, labels: mx.array) -> mx.array:
            error = labels - logits
            return mx.maximum(0.9 * error, -0.1 * error)

    monkeypatch.setitem(HEADS, "quantile", Quantile)
    result = run_training(configure("price", **{"head.type": "quantile"}))
    predictor = Predictor.load(result.run_dir.path)
    assert isinstance(predictor.model.head, Quantile)
    frame = read_table(configure("price").data.train)
    above = predictor.labels(frame).to_numpy() >= frame["price"].cast(pl.Float64).to_numpy()
    assert above.mean() > 0.75


def test_labels_out_of_range_end_a_run_before_its_first_step(
    make_config, make_model, make_loader
) -> None:
    trainer = create_trainer(make_model("binary"), make_config(**{"training.epochs": 1}))
    with pytest.raises(ValueError, match="integers from 0 to 1, but some are 2"):
        trainer.train(make_loader(task="multiclass"))


@pytest.mark.parametrize(("target", "task"), [("heavy", "binary"), ("grade", "multiclass")])
@pytest.mark.quick_for("heavy-binary")
def test_calibration_lowers_the_log_loss_and_keeps_the_answers(
    configure, garden: Path, target: str, task: str
) -> None:
    result = run_training(configure(target, **{"data.task": task, "training.epochs": 3}))
    before, frame = Predictor.load(result.run_dir.path, precision="f32"), read_table(garden)
    done = calibrate(before)
    assert done.after.log_loss <= done.before.log_loss
    assert done.rows == result.summary["val_rows"]
    assert "which also chose its best epoch" in done.source
    after = Predictor.load(result.run_dir.path, precision="f32")
    assert after.model.head.config.temperature_scaling == done.after.temperature != 1.0
    assert (after.labels(frame) == before.labels(frame)).all()
    assert not np.allclose(after.predict(frame), before.predict(frame))
    again = calibrate(after, garden)
    assert (again.rows, again.before.temperature) == (ROWS, done.after.temperature)


def test_what_has_no_temperature_says_what_it_has(configure) -> None:
    result = run_training(configure("price", **{"training.max_steps": 2}))
    with pytest.raises(
        ValueError, match=r"binary or multiclass head, but .* has a regression head"
    ):
        calibrate(Predictor.load(result.run_dir.path))


@pytest.mark.medium
def test_the_commands_work_for_several_targets(garden: Path, tmp_path: Path) -> None:
    settings = [
        "--epochs",
        "1",
        "--no-compile",
        "--output",
        str(tmp_path / "output"),
        "--model",
        "modernbert",
    ]
    sizes = tmp_path / "small.yaml"
    sizes.write_text(
        "model: {hidden_size: 16, num_layers: 1, num_heads: 2}\n"
        "data: {target: [red, heavy], drop_columns: [tags, grade, h1, h2, price]}\n"
    )
    run = CliRunner().invoke
    trained = run(
        app, ["train", "--train", str(garden), "--config", str(sizes), "--json", *settings]
    )
    assert trained.exit_code == 0, trained.output
    best = json.loads(trained.stdout)["files"]["best"]
    table = tmp_path / "submission.csv"
    asked = ["--test", str(garden), "--checkpoint", best, "--output", str(table)]
    assert run(app, ["predict", *asked]).exit_code == 0
    assert pl.read_csv(table).columns == ["id", "red", "heavy"]
    assert set(pl.read_csv(table)["heavy"]) <= {"yes", "no"}
    assert run(app, ["predict", "--proba", *asked]).exit_code == 0
    assert pl.read_csv(table)["heavy"].dtype == pl.Float64
    judged = run(app, ["evaluate", "--data", str(garden), "--checkpoint", best, "--json"])
    assert "roc_auc heavy" in json.loads(judged.stdout)["metrics"]
    refused = run(app, ["model", "calibrate", "--checkpoint", best])
    assert refused.exit_code != 0


@pytest.mark.medium
def test_the_calibrate_command_prints_and_draws(configure) -> None:
    result = run_training(configure("heavy", **{"training.epochs": 2}))
    path = str(result.run_dir.path)
    done = CliRunner().invoke(app, ["model", "calibrate", "--checkpoint", path, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["after"]["log_loss"] <= told["before"]["log_loss"]
    assert Path(told["picture"]).read_bytes().startswith(b"\x89PNG")
    shown = CliRunner().invoke(app, ["model", "calibrate", "--checkpoint", path])
    assert "temperature" in shown.stdout
    assert "ece" in shown.stdout
