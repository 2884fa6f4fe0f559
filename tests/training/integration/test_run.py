"""run_training from CSV to checkpoint: it learns, it writes every file, it stops cleanly."""

import errno
import json
import os
import signal
from pathlib import Path

import mlx.core as mx
import pytest

from bert_playground.data.reading.table import read_table
from bert_playground.inference import Predictor
from bert_playground.training import create_trainer, run_training
from bert_playground.training.callbacks import Checkpointing
from bert_playground.training.core import Callback

LEARNING = {
    "training.epochs": 7,
    "optimizer.learning_rate": 1e-2,
    "training.early_stopping_patience": 0,
}
RECORD = {
    "train": {"kind", "step", "epoch", "loss", "learning_rate", "gradient_norm"}
    | {"rows_per_second", "tokens_per_second", "seconds"},
    "evaluation": {"kind", "step", "epoch", "train_loss", "val_loss", "val_accuracy", "val_f1"}
    | {"val_roc_auc", "val_log_loss", "seconds"},
}


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("target", "name", "bar"),
    [("ripe", "val_accuracy", 0.95), ("kind", "val_accuracy", 0.95), ("price", "val_r2", 0.8)],
)
@pytest.mark.quick_for("kind-val_accuracy-0.95")
def test_a_tiny_model_learns_a_learnable_table(
    make_config, fruit: Path, target: str, name: str, bar: float
) -> None:
    result = run_training(make_config(target, **LEARNING))
    assert result.metrics[name] >= bar
    records = [
        record for record in read_lines(result.run_dir.metrics) if record["kind"] == "evaluation"
    ]
    assert records[-1]["train_loss"] < records[0]["train_loss"] / 2
    predictor = Predictor.load(result.run_dir.path)
    frame = read_table(fruit)
    labels = predictor.labels(frame)
    assert labels.len() == 120
    if target != "price":
        assert (labels == frame[target]).mean() >= 0.9


@pytest.mark.parametrize(
    ("setting", "function"),
    [
        ({"cross_validation.folds": 3}, "run_cross_validation"),
        ({"ensemble.num_models": 2}, "train_ensemble"),
    ],
)
def test_where_several_models_are_asked_for_one_is_refused(
    make_config, tmp_path: Path, setting: dict[str, int], function: str
) -> None:
    config = make_config(**setting)
    with pytest.raises(ValueError, match=f"trains one: call .*{function}"):
        run_training(config)
    assert not config.training.output_dir.exists()


@pytest.mark.usefixtures("_real_pictures")
def test_every_file_of_a_run_is_there(make_config) -> None:
    result = run_training(make_config(), {"training.epochs": "flag"})
    run = result.run_dir
    assert json.loads(run.config.read_text())["sources"] == {"training.epochs": "flag"}
    assert {"versions", "device", "git_commit", "seed"} <= set(
        json.loads(run.environment.read_text())
    )
    assert json.loads(run.summary.read_text()) == json.loads(json.dumps(result.summary))
    assert result.summary["steps"] == 12
    assert "target: ripe" in run.train_log.read_text()
    assert run.curves.read_bytes().startswith(b"\x89PNG")
    assert run.curves.stat().st_size > 10_000
    assert result.best_checkpoint == run.best
    assert {folder.name for folder in run.checkpoints.iterdir()} == {
        "best",
        "final",
        "step_000006",
        "step_000012",
    }
    assert {file.name for file in run.final.iterdir()} == {
        "config.json", "model.safetensors", "pipeline.json", "tokenizer"
    }  # fmt: skip


def test_metrics_are_one_json_object_per_line_with_known_keys(train_once) -> None:
    records = read_lines(train_once().run_dir.metrics)
    assert [set(record) == RECORD[record["kind"]] for record in records] == [True] * len(records)
    assert [record["step"] for record in records if record["kind"] == "evaluation"] == [6, 12]
    assert [record["step"] for record in records if record["kind"] == "train"] == [
        1,
        *range(2, 13, 2),
    ]


def test_the_best_only_mode_keeps_nothing_else(make_config) -> None:
    run = run_training(make_config(**{"checkpoint.save_best_only": True})).run_dir
    assert [folder.name for folder in run.checkpoints.iterdir()] == ["best"]


def test_without_checkpointing_nothing_is_kept(make_config) -> None:
    result = run_training(make_config(**{"checkpoint.enable_checkpointing": False}))
    assert result.best_checkpoint is None
    assert not result.run_dir.checkpoints.exists()


@pytest.mark.medium
def test_the_best_checkpoint_is_the_model_of_the_best_evaluation(make_config, fruit: Path) -> None:
    result = run_training(make_config(**LEARNING, **{"checkpoint.best_model_metric": "val_loss"}))
    records = [
        record for record in read_lines(result.run_dir.metrics) if record["kind"] == "evaluation"
    ]
    assert result.metrics["val_loss"] == min(record["val_loss"] for record in records)
    predictor = Predictor.load(result.run_dir.best, precision="f32")
    from bert_playground.data.prepare import prepare

    tables = prepare(make_config())
    assert predictor.score(tables.val).loss == pytest.approx(result.metrics["val_loss"], rel=1e-4)


def test_training_stops_at_max_steps_and_evaluates(make_config) -> None:
    result = run_training(make_config(**{"training.max_steps": 4}))
    assert result.summary["steps"] == 4
    assert read_lines(result.run_dir.metrics)[-1]["kind"] == "evaluation"


def test_early_stopping_ends_a_run_that_stalls(make_config) -> None:
    stalled = {
        "optimizer.learning_rate": 1e-12,
        "training.epochs": 9,
        "training.early_stopping_patience": 2,
    }
    result = run_training(make_config(**stalled, **{"checkpoint.best_model_metric": "accuracy"}))
    assert result.summary["epochs"] < 9
    assert "has not improved" in result.summary["stop_reason"]


@pytest.mark.usefixtures("_ctrl_c_as_on_a_terminal")
def test_ctrl_c_saves_and_says_how_to_go_on(make_config, monkeypatch: pytest.MonkeyPatch) -> None:
    class PressCtrlC(Callback):
        def on_step_end(self, state) -> None:
            if state.step == 8:
                os.kill(os.getpid(), signal.SIGINT)

    import bert_playground.training.build as story

    original = story._make_callbacks
    monkeypatch.setattr(story, "_make_callbacks", lambda *a: [PressCtrlC(), *original(*a)])
    config = make_config()
    with pytest.raises(KeyboardInterrupt) as caught:
        run_training(config)
    run = next(config.training.output_dir.iterdir())
    assert caught.value.__notes__ == [f"saved; go on with: bert train --resume {run}"]
    assert (run / "checkpoints" / "step_000008" / "state.json").is_file()
    assert (run / "curves.png").is_file()
    monkeypatch.setattr(story, "_make_callbacks", original)
    assert run_training(config, resume=run).summary["steps"] == 12
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(
    make_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bert_playground.training.build as story

    def fill_disk(model, folder: Path, labels) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(story, "save_model", fill_disk)
    config = make_config()
    with pytest.raises(OSError, match="the disk is full") as caught:
        run_training(config)
    assert caught.value.errno == errno.ENOSPC
    run = next(config.training.output_dir.iterdir())
    assert list((run / "checkpoints").iterdir()) == []


def test_a_resumed_run_refuses_another_configuration(make_config) -> None:
    result = run_training(make_config())
    other = make_config(**{"training.batch_size": 4})
    with pytest.raises(ValueError, match=r"training.batch_size \(16, asked 4\)"):
        run_training(other, {"training.batch_size": "flag"}, resume=result.run_dir.path)
    longer = make_config(**{"training.epochs": 3})
    resumed = run_training(longer, {"training.epochs": "flag"}, resume=result.run_dir.path)
    assert resumed.summary["steps"] == 18


def test_a_changed_table_cannot_be_resumed(make_config, fruit: Path, tmp_path: Path) -> None:
    copy = tmp_path / "train.csv"
    copy.write_text(fruit.read_text())
    result = run_training(make_config(**{"data.train": copy, "training.max_steps": 4}))
    copy.write_text("\n".join(fruit.read_text().splitlines()[:80]) + "\n")
    with pytest.raises(ValueError, match="had 6 steps per epoch, the data now gives 4"):
        run_training(make_config(), resume=result.run_dir.path)


def test_an_unknown_metric_is_refused_before_training(make_config) -> None:
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        run_training(make_config(**{"training.metric": "acuracy"}))


def test_create_trainer_trains_a_model_on_loaders(make_config, make_model, make_loader) -> None:
    trainer = create_trainer(make_model(), make_config(**{"training.epochs": 2}))
    state = trainer.train(make_loader(), make_loader(shuffle=False))
    assert state.step == 10
    assert any(isinstance(callback, Checkpointing) for callback in trainer.callbacks)
    assert trainer.evaluate(make_loader(shuffle=False))["accuracy"] == state.metrics["val_accuracy"]


@pytest.mark.medium
def test_lora_trains_adapters_and_saves_a_merged_checkpoint(make_config, fruit: Path) -> None:
    result = run_training(
        make_config(**LEARNING, **{"lora.enabled": True, "lora.preset": "efficient"})
    )
    assert result.summary["trained_parameters"] < result.summary["parameters"]
    predictor = Predictor.load(result.run_dir.final, precision="f32")
    assert predictor.predict(read_table(fruit)).shape == (120,)


@pytest.mark.medium
def test_gradient_checkpointing_trains(make_config) -> None:
    result = run_training(make_config(**LEARNING, **{"training.gradient_checkpointing": True}))
    assert result.metrics["val_accuracy"] >= 0.95


@pytest.mark.medium
def test_bf16_activations_learn_too(make_config) -> None:
    result = run_training(make_config(**{**LEARNING, "training.precision": "bf16"}))
    assert result.metrics["val_accuracy"] >= 0.95
    weights = mx.load(str(result.run_dir.final / "model.safetensors"))
    assert {weight.dtype for weight in weights.values()} == {mx.float32}


def test_a_run_names_it_once_in_its_log(make_config) -> None:
    config = make_config(**{"scheduler.warmup_steps": 500, "training.epochs": 1})
    result = run_training(config, {"scheduler.warmup_steps": "file mine.yaml"})
    said = (result.run_dir.train_log).read_text()
    assert said.count("no effect: scheduler.warmup_steps = 500 (file mine.yaml)") == 1
    assert said.count("no effect") == 1
