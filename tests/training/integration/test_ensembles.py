"""train_ensemble and EnsembleTrainer: members differ as asked, answer together, and are scored honestly."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config.schema import RunConfig
from bert_playground.data.prepare import prepare
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import EnsemblePredictor, load_predictor
from bert_playground.export.merged import merge_adapter
from bert_playground.inference import Predictor
from bert_playground.models.ensemble import Ensemble
from bert_playground.models.tokenwise import named_parameters
from bert_playground.runs import find_checkpoint
from bert_playground.training import create_trainer
from bert_playground.training.callbacks import Checkpointing
from bert_playground.training.ensemble_trainer import EnsembleTrainer
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.metrics.classification import accuracy
from bert_playground.training.run import run_training

TWO_SEEDS = {
    "training.epochs": 1,
    "ensemble.num_models": 2,
    "ensemble.diversity_strategy": "different_seeds",
}


def ask(make_config, strategy: str = "different_seeds", target: str = "ripe", **more) -> RunConfig:
    return make_config(target, **TWO_SEEDS | {"ensemble.diversity_strategy": strategy} | more)


def member_values(result) -> list[dict]:
    folders = sorted((result.run_dir.path / "members").iterdir())
    return [json.loads((folder / "config.json").read_text())["values"] for folder in folders]


@pytest.mark.parametrize("target", ["ripe", "kind", "price"])
@pytest.mark.quick_for("kind")
def test_the_ensemble_answers_with_the_mean_of_its_members(
    train_once, fruit: Path, target: str
) -> None:
    result = train_once(target, train=train_ensemble, **TWO_SEEDS)
    predictor, frame = load_predictor(result.run_dir.path), read_table(fruit)
    assert isinstance(predictor, EnsemblePredictor)
    scores = [member.predict(frame) for member in predictor.members]
    assert not np.allclose(scores[0], scores[1])
    np.testing.assert_allclose(predictor.predict(frame), np.mean(scores, axis=0), atol=1e-6)
    assert predictor.labels(frame).len() == frame.height
    assert result.summary["val_rows"] == 24
    (name, value), *_ = result.summary["disagreement"].items()
    assert name == ("error_correlation" if target == "price" else "different_labels")
    assert -1 <= value <= 1


@pytest.mark.medium
def test_scores_are_those_of_rows_that_no_member_has_seen(make_config, train_once) -> None:
    result = train_once(train=train_ensemble, **TWO_SEEDS)
    values = member_values(result)
    assert [member["training"]["seed"] for member in values] == [0, 1]
    assert {member["data"]["split_seed"] for member in values} == {0}
    # MLflow's store is the one that lies beside all runs.
    assert {member["tracking"]["directory"] for member in values} == {
        str(result.run_dir.path.parent)
    }
    alone = run_training(make_config(**{"training.epochs": 1}))
    # The first member is the very run that would be made without the others.
    assert result.summary["members"][0]["metrics"]["val_accuracy"] == pytest.approx(
        alone.metrics["val_accuracy"], abs=1e-6
    )
    first = named_parameters(Predictor.load(alone.run_dir.path).model)
    member = load_predictor(result.run_dir.path).members[0].model
    assert all(mx.array_equal(first[n], array) for n, array in named_parameters(member).items())


@pytest.mark.medium
def test_an_ensemble_goes_on_by_its_folder(make_config) -> None:
    result = train_ensemble(ask(make_config))
    first, second = sorted((result.run_dir.path / "members").iterdir())
    kept = (first / "checkpoints" / "best" / "model.safetensors").stat().st_mtime_ns
    shutil.rmtree(second)  # as if it had not begun
    (result.run_dir.path / "summary.json").unlink()
    again = train_ensemble(ask(make_config), resume=result.run_dir.path)
    assert again.metrics == result.metrics
    assert (first / "checkpoints" / "best" / "model.safetensors").stat().st_mtime_ns == kept
    assert len(list((result.run_dir.path / "members").iterdir())) == 2


@pytest.mark.medium
def test_metrics_are_recomputed_from_the_averaged_answers(make_config, fruit: Path) -> None:
    config = ask(make_config)
    table = read_table(fruit)
    table[::2].write_csv(fruit.with_name("half.csv"))
    table[1::2].write_csv(fruit.with_name("other.csv"))
    config = config.model_copy(
        update={
            "data": config.data.model_copy(
                update={"train": fruit.with_name("half.csv"), "val": fruit.with_name("other.csv")}
            )
        }
    )
    result = train_ensemble(config)
    answer = load_predictor(result.run_dir.path).score(table[1::2])
    assert answer.loss is None
    assert result.metrics["val_accuracy"] == accuracy(answer.labels, answer.scores)


@pytest.mark.medium
def test_subsamples_are_other_rows_under_the_same_vocabulary(make_config) -> None:
    result = train_ensemble(ask(make_config, "data_subsamples"))
    assert [member["data"]["sample_fraction"] for member in member_values(result)] == [0.8, 0.8]
    assert result.summary["train_rows"] == round(0.8 * 96)
    pipelines = [member.pipeline for member in load_predictor(result.run_dir.path).members]
    assert pipelines[0].vocab_size == pipelines[1].vocab_size


@pytest.mark.medium
def test_architectures_and_heads_are_varied(make_config) -> None:
    kinds = load_predictor(train_ensemble(ask(make_config, "architectures")).run_dir.path).members
    assert len({member.model.encoder.config.model_type for member in kinds}) == 2
    heads = load_predictor(train_ensemble(ask(make_config, "heads")).run_dir.path).members
    assert [member.model.head.config.pooling for member in heads] == ["cls", "mean"]


@pytest.mark.medium
def test_several_labels_are_averaged_with_their_thresholds(
    make_config, fruit: Path, tmp_path: Path
) -> None:
    frame = read_table(fruit).with_columns(
        red=(pl.col("colour") == "red").cast(pl.Int64),
        big=(pl.col("size") == "large").cast(pl.Int64),
    )
    frame.write_csv(tmp_path / "train.csv")
    asked = {
        "data.train": tmp_path / "train.csv",
        "data.task": "multilabel",
        "head.adaptive_threshold": True,
        "data.drop_columns": ["ripe", "price", "kind"],
    }
    result = train_ensemble(ask(make_config, target="red,big", **asked))
    predictor = load_predictor(result.run_dir.path)
    learned = np.array([member.thresholds for member in predictor.members])
    np.testing.assert_allclose(predictor.thresholds, learned.mean(axis=0))
    scores = predictor.predict(frame)
    answers = predictor.answers(scores).select("red", "big").to_numpy()
    np.testing.assert_array_equal(answers, scores >= np.array(predictor.thresholds))
    assert 0 <= result.summary["disagreement"]["different_labels"] <= 1


@pytest.mark.usefixtures("_ctrl_c_as_on_a_terminal")
def test_members_that_are_complete_survive_an_interruption(make_config, monkeypatch) -> None:
    begun = []

    def stop_the_second(self: Checkpointing, state: object) -> None:
        begun.append(state)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Checkpointing, "on_train_begin", stop_the_second)
    config = ask(make_config, **{"ensemble.num_models": 3})
    with pytest.raises(KeyboardInterrupt) as stopped:
        train_ensemble(config)
    assert any("1 of 3 members are complete" in note for note in stopped.value.__notes__)
    (run,) = config.training.output_dir.glob("run_*")
    assert len(load_predictor(run).members) == 1


def test_what_fails_before_the_first_member_leaves_no_folder(make_config) -> None:
    config = ask(make_config, **{"data.target": "ripeness"})
    with pytest.raises(ValueError, match="ripeness"):
        train_ensemble(config)
    assert not list(config.training.output_dir.glob("run_*"))


def test_an_ensemble_needs_checkpoints(make_config) -> None:
    with pytest.raises(ValueError, match=r"leave checkpoint\.enable_checkpointing on"):
        train_ensemble(ask(make_config, **{"checkpoint.enable_checkpointing": False}))


def test_members_of_other_tables_are_refused(train_once, tmp_path: Path) -> None:
    first = train_once(train=train_ensemble, **TWO_SEEDS)
    other = train_once("kind", **{"training.epochs": 1})
    folder = shutil.copytree(first.run_dir.path, tmp_path / "ensemble")
    manifest = folder / "ensemble.json"
    values = json.loads(manifest.read_text())
    shutil.copytree(other.best_checkpoint, folder / "members" / "other")
    manifest.write_text(json.dumps(values | {"members": [*values["members"], "members/other"]}))
    assert find_checkpoint(folder) == folder
    with pytest.raises(ValueError, match="members/other answers another question"):
        load_predictor(folder)
    with pytest.raises(ValueError, match="several checkpoints; use load_predictor"):
        Predictor.load(folder)


def test_the_message_for_an_ensemble_is_a_call_that_works(
    train_once, fruit: Path, tmp_path: Path
) -> None:
    folder = train_once(train=train_ensemble, **TWO_SEEDS).run_dir.path
    with pytest.raises(ValueError, match="use load_predictor") as caught:
        Predictor.load(folder)
    names: dict[str, Any] = {"Path": Path}
    for line in str(caught.value).splitlines()[1:]:
        exec(line.strip(), names)
    assert len(names["predictor"].predict(read_table(fruit))) == 120


def test_an_ensemble_without_adapters_is_not_merged(train_once, tmp_path: Path) -> None:
    folder = train_once(train=train_ensemble, **TWO_SEEDS).run_dir.path
    said = r"is an ensemble of 2 checkpoints without adapters: .*bert predict --test test.csv --ch"
    with pytest.raises(ValueError, match=said):
        merge_adapter(folder, tmp_path / "merged")
    command = ["model", "merge", "--checkpoint", str(folder), "--output", str(tmp_path / "merged")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "there is nothing to merge; use it as it is" in " ".join(done.output.split())


@pytest.mark.parametrize("strategy", [None, "data_subsamples"])
@pytest.mark.medium
def test_create_trainer_trains_an_ensemble_made_by_hand(
    make_model, make_loader, make_config, strategy: str | None
) -> None:
    ensemble = Ensemble([make_model(seed=1), make_model(seed=2)], strategy=strategy)
    config = make_config(**{"training.epochs": 6, "optimizer.learning_rate": 5e-3})
    trainer = create_trainer(ensemble, config)
    assert isinstance(trainer, EnsembleTrainer)
    states = trainer.train(make_loader(60), make_loader(20, shuffle=False, seed=1))
    assert [state.epoch for state in states] == [6, 6]
    # 60 rows in batches of 8, or 48 of them.
    assert states[0].total_steps == 6 * (8 if strategy is None else 6)
    loaded = Ensemble.load(trainer.path)
    batch = next(iter(make_loader(20, shuffle=False, seed=1)))
    answers = np.array(loaded(batch.tokens)) > 0.5
    assert (answers == np.array(batch.labels)).mean() > 0.8


def test_a_loader_of_another_kind_cannot_be_sampled(make_model, make_config) -> None:
    class Rows:
        num_rows = 3

    ensemble = Ensemble([make_model(seed=1), make_model(seed=2)], strategy="data_subsamples")
    with pytest.raises(ValueError, match="draws rows from an MLXLoader, got Rows"):
        create_trainer(ensemble, make_config()).train(Rows())


def test_sample_fraction_trains_on_a_part_of_the_rows(make_config) -> None:
    result = run_training(make_config(**{"training.epochs": 1, "data.sample_fraction": 0.5}))
    assert (result.summary["train_rows"], result.summary["val_rows"]) == (48, 24)


def test_the_split_has_a_seed_of_its_own(make_config, fruit: Path) -> None:

    config = make_config(**{"training.seed": 5, "data.split_seed": 0})
    assert config.split_seed == 0
    first = prepare(config).val
    assert first.equals(prepare(make_config()).val)
    assert isinstance(first, pl.DataFrame)
