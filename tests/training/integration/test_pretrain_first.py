"""model.pretrain: masked words of train and test rows first, once for all members, resumed exactly, never with the target."""

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl
import pytest

from bert_playground.config.schema import ModelSection, RunConfig
from bert_playground.data.prepare import prepare
from bert_playground.data.templates.row_text import load_row_text
from bert_playground.inference import Predictor
from bert_playground.logger import logger
from bert_playground.runs import RunDir
from bert_playground.training import build, run_training
from bert_playground.training import pretrain_first as module
from bert_playground.training.core import Callback
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.core.state import TrainState
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.pretrain_first import judge_gain, pretrain_first

ON = {"model.pretrain": "on", "pretraining.epochs": 2}


@pytest.fixture
def market(fruit: Path, tmp_path: Path) -> Path:
    """The first rows of a table with their labels as train.csv, and the others without beside it."""
    frame = pl.read_csv(fruit)
    frame[:60].write_csv(tmp_path / "train.csv")
    frame[60:].drop("ripe", "price", "kind").write_csv(tmp_path / "test.csv")
    return tmp_path / "train.csv"


@pytest.fixture
def ask(make_config: Callable[..., RunConfig], market: Path) -> Callable[..., RunConfig]:
    def make(**settings: object) -> RunConfig:
        return make_config(**{"data.train": market, "data.drop_columns": [], **ON, **settings})

    return make


@pytest.fixture
def said() -> list[str]:
    messages: list[str] = []
    handler = logger.add(lambda message: messages.append(message.record["message"]), level="INFO")
    yield messages
    logger.remove(handler)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, reason: str | None = None) -> None:
    class Stop(Callback):
        def on_step_end(self, state: TrainState) -> None:
            if state.step == step:
                if reason is None:
                    raise RuntimeError("power cut")
                state.stop_reason = reason

    make_callbacks = build._make_callbacks
    monkeypatch.setattr(build, "_make_callbacks", lambda *a: [Stop(), *make_callbacks(*a)])


@pytest.mark.medium
def test_training_starts_from_the_encoder_that_was_pretrained(ask, said: list[str]) -> None:
    result = run_training(ask(**{"optimizer.learning_rate": 1e-12}))
    run = result.run_dir
    before, after = (
        mx.load(str(folder / "model.safetensors")) for folder in (run.pretrained.best, run.best)
    )
    shared = [name for name in before if name in after and "layers." in name]
    assert len(shared) == 5
    for name in shared:
        np.testing.assert_allclose(np.array(after[name]), np.array(before[name]), atol=1e-6)
    assert any("48 training rows, 12 validation rows and 60 test rows" in line for line in said)
    summary = json.loads(run.pretrained.summary.read_text())
    assert summary["train_rows"] + summary["val_rows"] == 120
    assert summary["epochs"] == 2


@pytest.mark.medium
def test_the_text_is_that_of_training_without_and_knows_no_target(ask) -> None:
    run = run_training(ask(**{"training.epochs": 1})).run_dir
    without = run_training(ask(**{"model.pretrain": "off", "training.epochs": 1}))
    text = load_row_text(run.pretrained.best)
    assert text.columns == ["colour", "size", "shop"]
    assert not [said for said in text.statements if "label" in said]
    pipelines = [Predictor.load(each).pipeline for each in (run.best, without.run_dir.best)]
    assert pipelines[0].tokenizer.to_json() == pipelines[1].tokenizer.to_json()
    assert pipelines[0].features == pipelines[1].features == text.features
    words = text.tokenizer.tokenizer.get_vocab(with_added_tokens=True)
    assert not [word for word in words if "ripe" in word or "banana" in word]
    assert not without.run_dir.pretrained.path.exists()


def test_validation_rows_are_not_read_where_no_test_rows_are(ask, market: Path) -> None:
    market.with_name("test.csv").unlink()
    run = run_training(ask(**{"data.drop_columns": ["price", "kind"]})).run_dir
    summary = json.loads(run.pretrained.summary.read_text())
    assert summary["train_rows"] + summary["val_rows"] == 48


def test_rows_of_many_tokens_are_read_fewer_times(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOKENS", 1)
    run = run_training(ask(**{"pretraining.epochs": None, "training.epochs": 1})).run_dir
    assert json.loads(run.pretrained.summary.read_text())["epochs"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [2, 5])  # it breaks in training, and in pretraining
def test_a_broken_run_ends_as_an_unbroken_one(check_exact_resume, epochs: int) -> None:
    check_exact_resume(**{"model.pretrain": "on", "pretraining.epochs": epochs})


@pytest.mark.parametrize("step", [2, 9])  # before the first checkpoint, and after it
@pytest.mark.medium
def test_a_run_that_breaks_in_pretraining_goes_on(
    ask, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    config = ask()
    whole = run_training(config).run_dir
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        broken = ask(**{"training.output_dir": config.training.output_dir.parent / "broken"})
        with pytest.raises(RuntimeError, match="power cut"):
            run_training(broken)
    (left,) = map(RunDir, broken.training.output_dir.iterdir())
    assert not left.checkpoints.exists()
    run_training(ask(), resume=left.path)
    for ours, theirs in ((left.best, whole.best), (left.pretrained.best, whole.pretrained.best)):
        assert (ours / "model.safetensors").read_bytes() == (
            theirs / "model.safetensors"
        ).read_bytes()


def test_ctrl_c_in_pretraining_says_how_to_go_on(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, 3, INTERRUPTED)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_training(ask())
    assert "go on with: bert train --resume" in stopped.value.__notes__[0]
    assert not stopped.value.__notes__[0].endswith("pretrained")


@pytest.mark.medium
def test_members_share_one_pretraining(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    pretrain = module.pretrain_encoder
    monkeypatch.setattr(
        module, "pretrain_encoder", lambda *a: calls.append(a[3].path) or pretrain(*a)
    )
    result = train_ensemble(ask(**{"ensemble.num_models": 2, "training.epochs": 1}))
    assert calls == [result.run_dir.pretrained.path]
    for member in result.run_dir.members():
        stored = json.loads(member.config.read_text())["values"]["model"]
        assert stored["pretrained"] == str(result.run_dir.pretrained.best)


def test_members_of_other_architectures_are_refused(ask) -> None:
    settings = {"ensemble.num_models": 2, "ensemble.diversity_strategy": "architectures"}
    with pytest.raises(ValueError, match="cannot start from one pretrained encoder"):
        train_ensemble(ask(**settings))


@pytest.mark.medium
def test_a_checkpoint_is_not_pretrained_again(ask) -> None:
    first = run_training(ask(**{"training.epochs": 1})).run_dir
    run = run_training(ask(**{"model.pretrained": str(first.best), "training.epochs": 1})).run_dir
    assert not run.pretrained.path.exists()


@pytest.mark.medium
def test_settings_without_effect_are_named(ask, said: list[str]) -> None:
    sources = dict.fromkeys(("model.pretrain", "model.hidden_size", "pretraining.epochs"), "flag")
    run = run_training(ask(**{"training.epochs": 1}), sources).run_dir
    assert not [line for line in said if "no effect" in line]
    config = ask(**{"model.pretrained": str(run.best), "training.epochs": 1})
    run_training(config, sources | {"model.pretrained": "flag"})
    named = [line.split(" ")[2] for line in said if "no effect" in line]
    assert named == ["model.hidden_size", "model.pretrain", "pretraining.epochs"]
    said.clear()
    run_training(ask(**{"model.pretrain": "off", "training.epochs": 1}), sources)
    assert [line.split(" ")[2] for line in said if "no effect" in line] == ["pretraining.epochs"]


def test_auto_says_in_one_line_why(ask, said: list[str], monkeypatch) -> None:
    config = ask(**{"model.pretrain": "auto"})
    prepared = prepare(config)
    pays, reason = judge_gain(prepared, config.training)
    assert not pays
    assert reason.startswith("60 rows have labels and 60 of the test table have none")
    assert pretrain_first(prepared, config, RunDir(Path("nowhere"))) == config
    assert not [line for line in said if "model.pretrain" in line]
    monkeypatch.setattr(module, "LEAST_RATIO", 1)
    assert judge_gain(prepared, config.training)[0]
    monkeypatch.setattr(module, "MOST_LABELED", 59)
    assert not judge_gain(prepared, config.training)[0]


def test_auto_pretrains_where_there_is_free_text(ask, market: Path, said: list[str]) -> None:
    for path in (market, market.with_name("test.csv")):
        note = pl.Series("note", [f"we took number {i} home from the market" for i in range(60)])
        pl.read_csv(path).with_columns(note).write_csv(path)
    config = ask(**{"model.pretrain": "auto", "training.epochs": 1})
    prepared = prepare(config)
    pays, reason = judge_gain(prepared, config.training)
    assert (pays, reason.split(";")[0]) == (
        False,
        "there is free text of 8 words and 120 rows in all",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_OF_TEXT", 120)
        assert judge_gain(prepared, config.training)[0]
        with pytest.MonkeyPatch.context() as shorter:
            shorter.setattr(module, "MOST_WORDS", 7)
            assert not judge_gain(prepared, config.training)[0]
        for limit in ({"max_steps": 3}, {"max_time": 5.0}):
            assert not judge_gain(prepared, config.training.model_copy(update=limit))[0]
        with pytest.MonkeyPatch.context() as several:
            several.setattr(module.joined_group(), "size", 2, raising=True)
            assert "several processes" in judge_gain(prepared, config.training)[1]
        run = run_training(config).run_dir
    assert run.pretrained.best.is_dir()
    assert (
        len(
            [
                line
                for line in said
                if "model.pretrain auto: on, as there is free text of 8 words" in line
            ]
        )
        == 1
    )


@pytest.mark.parametrize(("spelt", "meant"), [(False, "off"), (True, "on"), ("auto", "auto")])
def test_yaml_may_spell_it_as_a_truth_value(spelt: object, meant: str) -> None:
    assert ModelSection(pretrain=spelt).pretrain == meant
