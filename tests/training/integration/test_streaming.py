"""A table that is streamed trains and is answered like one in memory."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.loaders import MemoryLoader, StreamingLoader
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare
from bert_playground.data.reading import chunks, table_stream
from bert_playground.data.reading.table import read_table
from bert_playground.inference import Predictor
from bert_playground.training import run_training
from bert_playground.training.evaluation.calibrate import calibrate

STREAMED = {"data.streaming": True, "optimizer.learning_rate": 1e-2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 7)


@pytest.mark.medium
def test_a_streamed_table_is_learned(make_config, fruit: Path) -> None:
    patience = {"training.epochs": 7, "training.early_stopping_patience": 0}
    result = run_training(make_config(**STREAMED, **patience))
    assert result.metrics["val_accuracy"] >= 0.95
    assert result.summary["train_rows"] + result.summary["val_rows"] == 120
    said = result.run_dir.train_log.read_text()
    assert "streamed: 120 rows in 18 chunks" in said
    assert "fitted on 96 of them" in said
    assert result.best_checkpoint is not None
    assert (Predictor.load(result.best_checkpoint).labels(read_table(fruit)).len()) == 120


@pytest.mark.medium
def test_held_rows_are_apart_and_every_label_is_known(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("bert_playground.data.schema.sampling.SAMPLE_ROWS", 30)
    monkeypatch.setattr("bert_playground.data.schema.sampling.MAX_VAL_ROWS", 15)
    path = tmp_path / "train.csv"
    # Sorted by label, and two labels have one row each.
    labels = ["a"] * 100 + ["b"] * 98 + ["rare", "rarer"]
    pl.DataFrame({"x": [f"v{i % 9}" for i in range(200)], "label": labels}).write_csv(path)
    for seed in range(3):
        tables = prepare(RunConfig(data=DataSection(train=path, streaming=True, split_seed=seed)))
        assert tables.stream is not None
        assert tables.val.height in (14, 15)
        assert tables.stream.num_rows + tables.val.height == 200
        assert set(tables.train["label"]) == {"a", "b", "rare", "rarer"}
        assert 30 <= tables.train.height <= 32
        pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
        loader = pipeline.make_streaming_loader(tables.stream, batch_size=16, shuffle=True)
        assert isinstance(loader, StreamingLoader)
        assert sum(batch.tokens.num_rows for batch in loader) == tables.stream.num_rows
        assert np.bincount(loader.labels).sum() == tables.stream.num_rows
        again = prepare(RunConfig(data=DataSection(train=path, streaming=True, split_seed=seed)))
        assert again.val.equals(tables.val)
        assert again.train.equals(tables.train)


@pytest.mark.parametrize("form", ["{}", "{}.5", '"${},000"'])
def test_numbers_to_predict_leave_rows_to_validate(tmp_path: Path, form: str) -> None:
    """Not every different number need be in the sample that everything is fitted on."""
    path = tmp_path / "train.csv"
    rows = "".join(f"{i % 7},{'mf'[i % 2]},{form.format(i + 1)}\n" for i in range(60))
    path.write_text("age,sex,price\n" + rows)
    tables = prepare(RunConfig(data=DataSection(train=path, streaming=True, target="price")))
    assert tables.schema.task == "regression"
    assert (tables.train.height, tables.val.height) == (48, 12)


def test_a_missing_label_anywhere_is_named_before_training(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("bert_playground.data.schema.sampling.SAMPLE_ROWS", 20)
    path = tmp_path / "train.csv"
    rows = [f"{i},{'v' if i % 3 else 'w'},{i % 2}" for i in range(100)]
    rows[60] = "60,v,"
    path.write_text("id,x,y\n" + "\n".join(rows) + "\n")
    val = tmp_path / "val.csv"
    val.write_text("id,x,y\n" + "\n".join(rows[:9]) + "\n")
    options = DataSection(train=path, val=val, target="y", streaming=True)
    tables = prepare(RunConfig(data=options))
    pipeline = TextPipeline.fit(tables.train, tables.schema, tables.text)
    assert tables.stream is not None
    with pytest.raises(ValueError, match=r"train\.csv, rows 57 to 63: .*label"):
        pipeline.make_streaming_loader(tables.stream)


def test_what_needs_the_whole_table_is_refused_or_read_whole(fruit: Path, monkeypatch) -> None:
    options = DataSection(train=fruit, target="ripe", group_column="row")
    with pytest.raises(ValueError, match=r"data\.group_column need the whole table.*--val"):
        prepare(RunConfig(data=options.model_copy(update={"streaming": True})))
    monkeypatch.setattr(table_stream, "LARGE_ROWS", 50)
    assert prepare(RunConfig(data=options)).stream is None
    assert prepare(RunConfig(data=DataSection(train=fruit, target="ripe"))).stream is not None
    off = DataSection(train=fruit, target="ripe", streaming=False)
    assert prepare(RunConfig(data=off)).stream is None


@pytest.mark.parametrize("flags", [[], ["--proba"]])
def test_a_large_table_is_answered_in_parts_with_the_same_answers(
    train_once, fruit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    run = train_once("kind", **{"training.epochs": 1}).run_dir.path
    outputs = []
    for name, large in (("whole", 10**9), ("parts", 50)):
        monkeypatch.setattr(table_stream, "LARGE_ROWS", large)
        outputs.append(tmp_path / f"{name}.csv")
        asked = ["predict", "--test", fruit, "--checkpoint", run, "--output", outputs[-1]]
        asked += ["--precision", "f32", *flags]
        result = CliRunner().invoke(app, [str(argument) for argument in asked])
        assert result.exit_code == 0, result.output
        assert "120 answers" in result.stdout
    whole, parts = map(pl.read_csv, outputs)
    assert whole.columns == parts.columns
    assert whole["row"].equals(parts["row"])
    if flags:
        differences = whole.drop("row").to_numpy() - parts.drop("row").to_numpy()
        assert np.abs(differences).max() < 1e-5
    else:
        assert whole.equals(parts)


def test_a_large_table_is_evaluated_in_parts_with_the_same_metrics(
    make_config, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_training(make_config("price", **{"training.epochs": 1})).run_dir.path
    told = []
    for large in (10**9, 50):
        monkeypatch.setattr(table_stream, "LARGE_ROWS", large)
        asked = ["evaluate", "--checkpoint", run, "--data", fruit, "--precision", "f32", "--json"]
        result = CliRunner().invoke(app, [str(argument) for argument in asked])
        assert result.exit_code == 0, result.output
        told.append(json.loads(result.stdout))
    assert told[0]["rows"] == told[1]["rows"] == 120
    assert told[1]["metrics"] == pytest.approx(told[0]["metrics"], rel=1e-4)


@pytest.mark.medium
def test_a_large_table_is_calibrated_on_in_parts_with_the_same_temperature(
    make_config, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_training(make_config("kind", **{"training.epochs": 2})).run_dir.path
    found = []
    for large in (10**9, 50):
        monkeypatch.setattr(table_stream, "LARGE_ROWS", large)
        found.append(calibrate(Predictor.load(run), fruit))
    assert found[0].rows == found[1].rows == 120
    assert found[1].after.temperature == pytest.approx(found[0].after.temperature, rel=1e-3)
    assert found[1].accuracy == found[0].accuracy


@pytest.mark.medium
def test_the_token_cache_is_said_to_keep_no_streamed_rows(make_config, tmp_path: Path) -> None:
    cached = {"data.use_pretokenized": True, "data.cache_dir": tmp_path / "ids"}
    result = run_training(make_config(**STREAMED, **cached, **{"training.epochs": 1}))
    said = result.run_dir.train_log.read_text()
    assert said.count("only validation rows are cached") == 1
    assert len(list((tmp_path / "ids").iterdir())) == 1


@pytest.mark.medium
def test_trainer_and_predictor_take_any_loader(make_config, fruit: Path) -> None:
    run = run_training(make_config(**{"training.epochs": 1}))
    predictor = Predictor.load(run.run_dir.path)
    frame, pipeline = read_table(fruit), predictor.pipeline
    layout = pipeline.make_loader(frame).layout
    loaders = (
        pipeline.make_loader(frame),
        pipeline.make_streaming_loader(table_stream.open_stream(fruit), batch_size=32),
        MemoryLoader.of_rows(
            frame, pipeline.tokenize, layout=layout, pad_token_id=pipeline.pad_token_id
        ),
    )
    expected = predictor.score(frame)
    for loader in loaders:
        answer = predictor.score(loader)
        assert np.abs(answer.scores - expected.scores).max() < 1e-2  # activations may be bf16
        assert answer.labels is not None
        assert np.array_equal(answer.labels, expected.labels)
