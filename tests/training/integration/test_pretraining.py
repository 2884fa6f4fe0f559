"""bert pretrain: hidden words are learned, resumed exactly, and the checkpoint is fine-tuned on the same text."""

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from bert_playground.config.schema import RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.templates.row_text import load_row_text
from bert_playground.data.tokens.masking import Masking
from bert_playground.data.tokens.token_table import TokenizedTable
from bert_playground.inference import Predictor
from bert_playground.models.huggingface import load_encoder, read_pretrained
from bert_playground.models.masked_lm import load_masked_lm
from bert_playground.runs import RunDir
from bert_playground.training import build, run_training
from bert_playground.training.core import Callback, TrainState
from bert_playground.training.core.interrupt import INTERRUPTED
from bert_playground.training.core.resume import ARRAYS_NAME
from bert_playground.training.pretraining import measure_baseline, run_pretraining
from bert_playground.training.run_folder import RunResult

TIMES = {"seconds", "rows_per_second", "tokens_per_second"}


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv and test.csv in which town, colour and size tell each other."""
    folder, random = tmp_path_factory.mktemp("shops"), np.random.default_rng(3)
    number = random.integers(0, 4, 200)
    town = np.array(["ulm", "bonn", "kiel", "jena"])[number]
    colour = np.array(["red", "green", "blue", "white"])[number]
    size = np.array(["small", "tall", "wide", "long"])[number]
    sold = np.where((number < 2) != (random.random(200) < 0.1), "yes", "no")
    frame = pl.DataFrame({"town": town, "colour": colour, "size": size, "sold": sold})
    frame[:140].write_csv(folder / "train.csv")
    frame[140:].drop("sold").write_csv(folder / "test.csv")
    return folder


def settings_for(shops: Path) -> dict[str, object]:
    return {
        "target": "sold",
        "data.train": shops / "train.csv",
        "data.drop_columns": [],
        "data.max_length": 16,
        "pretraining.tables": [shops / "test.csv"],
        "training.epochs": 2,
        "training.seed": 5,
    }


@pytest.fixture
def ask(make_config: Callable[..., RunConfig], shops: Path) -> Callable[..., RunConfig]:
    """A function of further settings that gives a small configuration for these tables."""
    return lambda **settings: make_config(**{**settings_for(shops), **settings})


@pytest.fixture
def pretrained(train_once: Callable[..., RunResult], shops: Path) -> RunResult:
    """One run of `bert pretrain`, which is only read."""
    return train_once(train=run_pretraining, **settings_for(shops))


@pytest.fixture
def trained(train_once: Callable[..., RunResult], shops: Path) -> RunResult:
    """One run of `bert train` on the same table, which is only read."""
    return train_once(**settings_for(shops))


def arrays_of(run: RunDir, step: int) -> dict[str, np.ndarray]:
    return load_file(run.at_step(step) / ARRAYS_NAME)


def history_of(run: RunDir) -> list[dict[str, object]]:
    lines = run.metrics.read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


@pytest.mark.slow
def test_hidden_words_are_found_better_than_by_frequency(ask: Callable[..., RunConfig]) -> None:
    result = run_pretraining(
        ask(
            **{
                "model.hidden_size": 32,
                "model.num_heads": 4,
                "training.epochs": 40,
                "training.batch_size": 32,
                "optimizer.learning_rate": 1e-2,
                "pretraining.dropout": 0.0,
            }
        )
    )
    baseline = result.summary["baseline"]
    assert result.metrics["val_accuracy"] > baseline["val_accuracy"] + 0.4
    assert result.metrics["val_loss"] < baseline["val_loss"] - 0.5
    assert result.summary["train_rows"] + result.summary["val_rows"] == 200


def test_the_target_never_enters_the_text(pretrained: RunResult) -> None:
    text = load_row_text(pretrained.run_dir.best)
    assert text.columns == ["town", "colour", "size"]
    vocabulary = text.tokenizer.tokenizer.get_vocab(with_added_tokens=True)
    assert not [token for token in vocabulary if "sold" in token]
    assert "[town=jena]" in vocabulary


def test_layers_begin_as_large_as_those_of_bert_train(ask: Callable[..., RunConfig]) -> None:
    config = ask(**{"training.max_steps": 1, "optimizer.learning_rate": 1e-9})
    encoder = load_encoder(read_pretrained(run_pretraining(config).run_dir.best))
    inputs = np.array(encoder.layers[0].attention.qkv.weight)
    assert inputs.std() == pytest.approx(encoder.hidden_size**-0.5, rel=0.2)
    assert np.array(encoder.embeddings.words.weight).std() < 0.03


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.medium
def test_a_resumed_pretraining_equals_an_unbroken_one(
    ask: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    if layout == "padded":
        monkeypatch.setattr("bert_playground.kernels.is_native", lambda: False)
    config = ask(**{"checkpoint.save_steps": 5, "training.gradient_accumulation_steps": 2})
    whole = run_pretraining(config).run_dir
    last = whole.resumable()[-1]

    class Stop(Callback):
        def on_step_end(self, state: TrainState) -> None:
            if state.step == 8:
                state.stop_reason = INTERRUPTED

    make_callbacks = build._make_callbacks
    monkeypatch.setattr(build, "_make_callbacks", lambda *a: [Stop(), *make_callbacks(*a)])
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_pretraining(config)
    assert "bert pretrain --resume" in stopped.value.__notes__[0]
    monkeypatch.setattr(build, "_make_callbacks", make_callbacks)
    run = RunDir(sorted(config.training.output_dir.glob("run_*"))[-1])
    assert run.path != whole.path
    run_pretraining(config, resume=run.path)

    step = int(last.name.removeprefix("step_"))
    expected, actual = arrays_of(whole, step), arrays_of(run, step)
    assert expected.keys() == actual.keys()
    assert [name for name in expected if not np.array_equal(expected[name], actual[name])] == []
    assert history_of(run) == history_of(whole)


def test_train_reads_text_as_it_was_pretrained(
    pretrained: RunResult, ask: Callable[..., RunConfig], shops: Path
) -> None:
    folder = pretrained.run_dir.best
    result = run_training(ask(**{"model.pretrained": str(folder)}))
    before, after = load_row_text(folder), TextPipeline.load(result.run_dir.best)
    assert after.features == before.features
    assert after.template == before.template == "cells"
    assert after.max_length == before.max_length == 16
    assert after.tokenizer.to_json() == before.tokenizer.to_json()
    assert after.target == "sold"
    answers = Predictor.load(result.run_dir.best).labels(pl.read_csv(shops / "test.csv"))
    assert set(answers) <= {"yes", "no"}


def test_a_model_pretrained_here_is_fine_tuned_at_its_own_rate(
    pretrained: RunResult, ask: Callable[..., RunConfig]
) -> None:
    settings = {"model.pretrained": str(pretrained.run_dir.best), "scheduler.type": "constant"}
    result = run_training(ask(**settings, **{"scheduler.warmup_steps": 0}))
    (rate,) = {line["learning_rate"] for line in history_of(result.run_dir)[:1]}
    assert rate == pytest.approx(2e-4 * (256 / 16) ** 0.5)  # of an encoder that is 16 wide


def test_the_encoder_starts_from_the_pretrained_weights(
    pretrained: RunResult, ask: Callable[..., RunConfig]
) -> None:
    folder = pretrained.run_dir.best
    settings = {"model.pretrained": str(folder), "optimizer.learning_rate": 1e-12}
    result = run_training(ask(**settings, **{"training.max_steps": 1}))
    before = load_encoder(read_pretrained(folder)).parameters()
    after = load_encoder(read_pretrained(result.run_dir.best)).parameters()
    words = [tree["embeddings"]["words"]["weight"] for tree in (before, after)]
    assert mx.allclose(*words, atol=1e-6)


def test_dropout_for_the_task_is_stored_and_not_that_of_pretraining(
    ask: Callable[..., RunConfig],
) -> None:
    result = run_pretraining(ask(**{"pretraining.dropout": 0.0, "model.dropout": 0.25}))
    values = json.loads((result.run_dir.best / "config.json").read_text())
    assert values["mlp_dropout"] == values["attention_dropout"] == 0.25


def test_pretraining_goes_on_from_a_pretrained_model(
    pretrained: RunResult, ask: Callable[..., RunConfig]
) -> None:
    folder = pretrained.run_dir.best
    result = run_pretraining(ask(**{"model.pretrained": str(folder), "training.max_steps": 1}))
    before, _ = load_masked_lm(folder)
    after, report = load_masked_lm(result.run_dir.best)
    assert report.missing == []
    biases = [np.array(model.head.decoder.bias) for model in (before, after)]
    assert 0 < np.abs(biases[1] - biases[0]).max() < 1e-2


@pytest.mark.medium
def test_pretraining_reads_a_checkpoint_without_masked_words(
    trained: RunResult, ask: Callable[..., RunConfig]
) -> None:
    result = run_pretraining(ask(**{"model.pretrained": str(trained.run_dir.best)}))
    assert load_masked_lm(result.run_dir.best)[1].missing == []


def test_a_run_is_resumed_by_the_command_that_began_it(
    pretrained: RunResult, trained: RunResult, ask: Callable[..., RunConfig]
) -> None:
    with pytest.raises(ValueError, match=r"is a run of `bert pretrain`.*bert pretrain --resume"):
        run_training(ask(), resume=pretrained.run_dir.path)
    with pytest.raises(ValueError, match="is a run of `bert train`"):
        run_pretraining(ask(), resume=trained.run_dir.path)


def test_a_pretrained_model_answers_nothing_yet(pretrained: RunResult) -> None:
    with pytest.raises(ValueError, match="bert train --model"):
        TextPipeline.load(pretrained.run_dir.best)
    with pytest.raises(ValueError, match="fine-tune it first"):
        Predictor.load(pretrained.run_dir.best)


def test_a_target_that_was_pretrained_on_is_refused(ask: Callable[..., RunConfig]) -> None:
    result = run_pretraining(ask(**{"pretraining.has_target": False, "data.target": None}))
    with pytest.raises(ValueError, match="pretrained on text that contains colour"):
        run_training(ask(**{"model.pretrained": str(result.run_dir.best), "data.target": "colour"}))


def test_a_table_without_the_pretrained_columns_is_refused(
    pretrained: RunResult, ask: Callable[..., RunConfig], shops: Path, tmp_path: Path
) -> None:
    pl.read_csv(shops / "train.csv").drop("size").write_csv(tmp_path / "train.csv")
    settings = {"model.pretrained": str(pretrained.run_dir.best)}
    with pytest.raises(ValueError, match="the table lacks size"):
        run_training(ask(**settings, **{"data.train": tmp_path / "train.csv"}))
    with pytest.raises(ValueError, match="template 'cells', but 'key_value' was asked for"):
        run_training(ask(**settings, **{"data.template": "key_value"}))


def test_an_encoder_with_too_few_words_is_refused(
    pretrained: RunResult, ask: Callable[..., RunConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    text = load_row_text(pretrained.run_dir.best)
    text.save(folder)
    weights = mx.load(str(pretrained.run_dir.best / "model.safetensors"))
    few = text.vocab_size - 3
    for name in ("model.embeddings.tok_embeddings.weight", "decoder.bias"):
        weights[name] = weights[name][:few]
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    values = json.loads((pretrained.run_dir.best / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "vocab_size": few}))
    with pytest.raises(ValueError, match=f"tokenizer has {text.vocab_size} entries.*has {few}"):
        run_pretraining(ask(**{"model.pretrained": str(folder)}))


def test_rows_without_text_are_refused(ask: Callable[..., RunConfig], tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b,sold\n,,yes\n,,no\n,,yes\n")
    settings = {"data.train": tmp_path / "train.csv", "pretraining.tables": []}
    with pytest.raises(ValueError, match="no column is left to learn from"):
        run_pretraining(ask(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora.enabled": True}, "use --lora with bert train"),
        ({"training.metric": "accuracy"}, "pretraining is judged by val_loss"),
    ],
)
def test_what_cannot_be_pretrained_is_refused(
    ask: Callable[..., RunConfig], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_pretraining(ask(**settings))


def test_the_baseline_knows_frequencies_alone() -> None:
    masking = Masking(4, np.array([5, 6], np.int32))
    train = TokenizedTable(np.array([2, 5, 5, 5, 6, 3], np.int32), np.array([0, 6]))
    val = TokenizedTable(np.array([2, 5, 6, 3], np.int32), np.array([0, 4]))
    baseline = measure_baseline(train, val, masking)
    assert baseline.accuracy == 0.5
    assert np.isclose(baseline.loss, -(np.log(4 / 6) + np.log(2 / 6)) / 2)
