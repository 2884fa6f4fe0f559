"""Numeric features on the whole way: trained, saved, resumed, streamed, averaged and answered alike."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from bert_playground import kernels
from bert_playground.cli.app import app
from bert_playground.config.schema import DataSection, RunConfig
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare
from bert_playground.data.reading import chunks
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.export import export_model
from bert_playground.inference import Predictor
from bert_playground.inspection import inspect_model
from bert_playground.runs import RunDir
from bert_playground.training import run_training
from bert_playground.training.core import Callback, TrainState
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.evaluation.calibrate import calibrate
from tests.fitting import fit_pipeline

ON = {
    "data.template": "key_value",
    "data.numeric_features": "auto",
    "optimizer.learning_rate": 5e-3,
}
ROWS = 120
FEW = {"training.epochs": 1}  # where nothing need be learned


@pytest.fixture(scope="session")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV in which two columns of numbers decide all targets; some of their cells are missing."""
    random = np.random.default_rng(3)
    width, depth = random.uniform(5, 50, ROWS), random.uniform(5, 50, ROWS)
    area = width * depth
    frame = pl.DataFrame(
        {
            "Id": np.arange(1, ROWS + 1),
            "width": [None if i % 17 == 0 else f"{w:.2f} m" for i, w in enumerate(width)],
            "depth": [f"{d:.2f}" for d in depth],
            "sold": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2020" for i in range(ROWS)],
            "town": random.choice(["ulm", "bonn", "kiel"], ROWS),
            "large": np.where(area > 600, "yes", "no"),
            "price": (area * 3 + random.normal(0, 30, ROWS)).round(1),
            "steep": (random.random(ROWS) < depth / 50).astype(int),
            "wide": (width > 25).astype(int),
        }
    )
    path = tmp_path_factory.mktemp("plots") / "train.csv"
    frame.write_csv(path)
    return path


def settings_for(plots: Path, target: str = "large") -> dict[str, object]:
    asked = target.split(",")
    others = [name for name in ("large", "price", "steep", "wide") if name not in asked]
    return {"data.train": plots, "data.drop_columns": others, **ON}


@pytest.fixture
def make(make_config, plots: Path):
    def make(target: str = "large", **settings: object):
        return make_config(target, **{**settings_for(plots, target), **settings})

    return make


@pytest.fixture
def best(train_once, plots: Path) -> Path:
    """The best checkpoint of one run, which is only read."""
    checkpoint = train_once("large", **settings_for(plots)).best_checkpoint
    assert checkpoint is not None
    return checkpoint


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("large", {}),
        ("price", FEW),
        ("steep,wide", FEW | {"data.task": "multilabel"}),
        ("steep", FEW | {"data.task": "ordinal"}),
        ("large", FEW | {"lora.enabled": True}),
        ("large", FEW | {"data.text_pair": ["town", "depth"], "data.template": "auto"}),
        ("price", FEW | {"data.horizon": 2, "data.time_column": "Id", "data.lags": 3}),
    ],
)
@pytest.mark.quick_for("large-settings0", "price-settings1")
def test_every_task_trains_and_answers_with_numbers(
    train_once, plots: Path, target: str, settings: dict[str, object]
) -> None:
    result = train_once(target, **{**settings_for(plots, target), **settings})
    assert "numeric features: width, depth" in result.run_dir.train_log.read_text()
    assert result.best_checkpoint is not None
    predictor = Predictor.load(result.best_checkpoint)
    pipeline = predictor.pipeline
    assert len(pipeline.numbers) == predictor.model.head.config.num_numbers > 1
    rows = pipeline.rows_with_labels(read_table(plots))
    answer = predictor.score(rows)
    assert np.isfinite(answer.scores).all()
    moved = predictor.score(rows.with_columns(depth=pl.lit("50")))
    assert not np.allclose(answer.scores, moved.scores)


def test_predicting_gives_the_scores_of_evaluating_in_both_layouts(make, best: Path) -> None:
    predictor = Predictor.load(best, precision="f32")
    val = prepare(make()).val
    scored = predictor.score(val)
    assert np.array_equal(predictor.predict(val), scored.scores)
    loader = predictor.pipeline.make_loader(val, batch_size=7)
    loader.layout = "padded" if loader.layout == "packed" else "packed"
    if loader.layout == "padded" or kernels.is_native():
        np.testing.assert_allclose(predictor.score(loader).scores, scored.scores, atol=1e-4)


@pytest.mark.medium
def test_a_run_resumes_bit_for_bit_with_numbers(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bert_playground.training import build

    whole = run_training(make(**{"checkpoint.save_steps": 4})).run_dir

    class Break(Callback):
        def on_step_end(self, state: TrainState) -> None:
            if state.step == 10:
                raise RuntimeError("power cut")

    make_callbacks = build._make_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(build, "_make_callbacks", lambda *a: [*make_callbacks(*a), Break()])
        output = {"checkpoint.save_steps": 4, "training.output_dir": tmp_path / "broken"}
        with pytest.raises(RuntimeError, match="power cut"):
            run_training(make(**output))
    (left,) = (tmp_path / "broken").iterdir()
    run_training(make(), resume=left)
    for folder in ("final", "best"):
        ours = getattr(RunDir(left), folder) / "model.safetensors"
        assert ours.read_bytes() == (getattr(whole, folder) / "model.safetensors").read_bytes()


@pytest.mark.medium
def test_an_ensemble_averages_members_with_numbers_and_calibration_keeps_them(
    make, plots: Path
) -> None:
    result = train_ensemble(make(**FEW, **{"ensemble.num_models": 2}))
    assert 0 <= result.metrics["val_accuracy"] <= 1
    member = RunDir(next((result.run_dir.path / "members").iterdir())).best
    before = Predictor.load(member).score(read_table(plots))
    calibrate(Predictor.load(member))
    after = Predictor.load(member)
    assert after.model.head.config.num_numbers == 3
    assert (before.scores.argsort() == after.predict(read_table(plots)).argsort()).all()


@pytest.mark.medium
def test_a_stream_gives_the_numbers_that_memory_gives(
    plots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 13)
    pipeline = fit(plots)
    frame = read_table(plots)
    expected = pipeline.tokenize(frame).numbers
    assert expected is not None
    loader = pipeline.make_streaming_loader(open_stream(plots), batch_size=9, shuffle=True, seed=2)
    seen = np.full_like(expected, -1)
    for batch in loader:
        assert batch.tokens.numbers is not None
        seen[np.array(batch.rows)] = np.array(batch.tokens.numbers)
    np.testing.assert_array_equal(seen, expected)


def fit(path: Path, **options: object) -> TextPipeline:
    flags = {"target": "large", "numeric_features": "auto", "drop_columns": ("price", "wide")}
    section = DataSection(train=path, **{**flags, **options})
    tables = prepare(RunConfig(data=section))
    return TextPipeline.fit(tables.train, tables.schema, tables.text)


def test_the_fit_is_of_training_rows_alone_and_is_saved(plots: Path, tmp_path: Path) -> None:
    frame = read_table(plots)
    changed = frame.with_columns(
        depth=pl.when(pl.int_range(ROWS) < 100).then("depth").otherwise(pl.lit("1e9"))
    )
    section = DataSection(target="large", id_column="Id", task="binary", numeric_features="auto")
    first, second = (fit_pipeline(each[:100], section) for each in (frame, changed))
    assert first.numbers == second.numbers
    first.save(tmp_path)
    read = TextPipeline.load(tmp_path)
    assert read.numbers == first.numbers
    np.testing.assert_array_equal(read.tokenize(frame).numbers, first.tokenize(frame).numbers)


def test_a_folder_of_before_there_were_numbers_is_read(plots: Path, tmp_path: Path) -> None:
    fit(plots, numeric_features="off").save(tmp_path)
    path = tmp_path / "pipeline.json"
    state = json.loads(path.read_text())
    del state["numbers"]
    path.write_text(json.dumps(state))
    assert TextPipeline.load(tmp_path).numbers == ()


def test_the_token_cache_holds_ids_and_numbers_come_beside_it(plots: Path, tmp_path: Path) -> None:
    pipeline, frame = fit(plots), read_table(plots)
    expected = pipeline.tokenize(frame)
    for _ in range(2):  # written, then read
        cached = pipeline.tokenize(frame, cache_dir=tmp_path)
        np.testing.assert_array_equal(cached.numbers, expected.numbers)
        np.testing.assert_array_equal(cached.ids, expected.ids)


def test_a_column_that_a_template_derives_may_stand_beside_the_text(plots: Path) -> None:
    derive = {"derive": {"doubled": "CAST(depth AS DOUBLE) * 2"}}
    options = {"template": "key_value", "template_options": derive}
    pipeline = fit(plots, numeric_features=("doubled",), **options)
    assert "depth" in pipeline.columns
    numbers = pipeline.tokenize(read_table(plots)).numbers
    assert numbers is not None
    assert numbers.shape == (ROWS, 1)


def test_a_column_that_is_absent_at_predict_time_is_named(plots: Path) -> None:
    pipeline = fit(plots, numeric_features=("width", "depth"), text_pair=("town", "sold"))
    with pytest.raises(ValueError, match=r"lacks 2 column.*'width'.*'depth'"):
        pipeline.tokenize(read_table(plots).drop("depth", "width"))


def test_a_checkpoint_goes_on_with_its_own_numbers(make, best: Path) -> None:
    own = TextPipeline.load(best).numbers
    again = run_training(make(**FEW, **{"model.pretrained": str(best)}))
    assert again.best_checkpoint is not None
    assert TextPipeline.load(again.best_checkpoint).numbers == own
    with pytest.raises(ValueError, match="was trained with width, depth, sold as numbers"):
        run_training(make(**{"model.pretrained": str(best), "data.numeric_features": "depth"}))


def test_a_pipeline_with_other_numbers_than_the_head_is_refused(best: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(best, tmp_path / "changed")
    path = changed / "pipeline.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "numbers": state["numbers"][:1]}))
    with pytest.raises(ValueError, match=r"reads 3 numeric features, but its pipeline\.json"):
        Predictor.load(changed)


def test_looking_into_a_checkpoint_and_exporting_it_tell_of_the_numbers(
    best: Path, plots: Path, tmp_path: Path
) -> None:
    looked = inspect_model(best)
    assert looked.head["num_numbers"] == 3
    assert looked.parameters["head"] > 16 * 3 * 17
    exported = export_model(best, tmp_path / "exported")
    assert "does not have the 3 numbers of a row" in " ".join(exported.notes)
    assert exported.largest_difference == 0
    scores = [
        Predictor.load(folder, precision="f32").predict(read_table(plots))
        for folder in (best, tmp_path / "exported")
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_commands_take_the_setting_and_name_wrong_columns(
    plots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERT_DATA__NUMERIC_FEATURES", "widht,town")
    flags = ["--train", str(plots), "--target", "large", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["train", *flags])
    assert result.exit_code == 2
    assert "'widht'; did you mean 'width'" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (False, "off"),
        (True, "auto"),
        ("auto", "auto"),
        ("a, b", ("a", "b")),
        (["a"], ("a",)),
    ],
)
def test_the_setting_is_read_as_people_write_it(given: object, expected: object) -> None:
    assert DataSection(numeric_features=given).numeric_features == expected


@pytest.mark.medium
def test_columns_by_importance_stand_first_and_are_cut_last(plots: Path) -> None:
    options = {"template": "key_value", "drop_columns": ("price", "wide", "steep")}
    by_table = fit(plots, **options)
    by_importance = fit(plots, column_order="importance", **options)
    columns = [feature.column for feature in by_importance.features]
    assert columns[:2] in (["width", "depth"], ["depth", "width"])
    assert sorted(columns) == sorted(feature.column for feature in by_table.features)
    said = next(line for line in by_importance.statements if "importance" in line)
    assert said.startswith(f"text: columns by importance: {columns[0]}, {columns[1]}, ")
    assert {"sold month", "town"} <= {feature.label for feature in by_importance.features}
    text = by_importance.text(read_table(plots)[1:2])[0]
    assert text.startswith(f"{columns[0]}: ")


@pytest.mark.medium
def test_rows_that_are_too_long_have_the_most_telling_columns_first(plots: Path) -> None:
    options = {"template": "key_value", "drop_columns": ("price", "wide", "steep")}
    fitting = fit(plots, max_length=256, **options)
    short = fit(plots, max_length=24, **options)
    assert [feature.column for feature in fitting.features][:1] == ["width"]
    assert not any("by importance" in line for line in fitting.statements)
    said = next(line for line in short.statements if "by importance" in line)
    assert "by importance, as 100% of rows are longer than 24 tokens: " in said
    by_importance = fit(plots, max_length=24, column_order="importance", **options)
    assert short.features == by_importance.features
    by_table = fit(plots, max_length=24, column_order="table", **options)
    assert by_table.features == fitting.features


def test_free_text_stays_last(plots: Path, tmp_path: Path) -> None:
    sizes = read_table(plots)["large"]
    words = pl.Series(
        "note",
        [f"it was seen as {size} by all who came number {i}" for i, size in enumerate(sizes)],
    )
    frame = read_table(plots).with_columns(note=words)
    frame.write_csv(path := tmp_path / "train.csv")
    options = {"template": "key_value", "max_length": 24, "text_columns": ("note",)}
    assert fit(path, **options).features[-1].column == "note"


def test_a_pretrained_model_keeps_its_order(plots: Path, tmp_path: Path) -> None:
    options = {"max_length": 6, "drop_columns": ("price", "wide", "steep")}
    own = fit(plots, column_order="table", **options)
    own.save(tmp_path)
    section = DataSection(train=plots, target="large", **options)
    tables = prepare(RunConfig(data=section))
    taken = TextPipeline.fit(tables.train, tables.schema, tables.text, pretrained_dir=tmp_path)
    assert taken.features == own.features


@pytest.mark.parametrize(
    "options", [{"text_pair": ("town", "sold")}, {"template_options": {"jinja": "{{ town }}"}}]
)
def test_texts_with_an_order_of_their_own_cannot_be_ordered(plots: Path, options: dict) -> None:
    with pytest.raises(ValueError, match="column_order is importance, but a"):
        fit(plots, column_order="importance", **options)
