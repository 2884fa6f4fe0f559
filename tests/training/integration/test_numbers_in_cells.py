"""Numbers in the tokens of their cells on the whole way: the default, trained, resumed, streamed, averaged, answered alike."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl
import pytest

from bert_playground import kernels
from bert_playground.data.describe import load_reader, preview_table
from bert_playground.data.pipeline import TextPipeline
from bert_playground.data.prepare import prepare
from bert_playground.data.reading import chunks
from bert_playground.data.reading.table import read_table
from bert_playground.data.reading.table_stream import open_stream
from bert_playground.data.templates.row_text import load_row_text
from bert_playground.export import export_model
from bert_playground.inference import Predictor
from bert_playground.inspection import inspect_model
from bert_playground.training import run_training
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.pretraining import run_pretraining

ROWS = 120
FEW = {"training.epochs": 1}  # where nothing need be learned


@pytest.fixture(scope="session")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV in which two columns of numbers decide the targets; some of their cells are missing."""
    random = np.random.default_rng(3)
    width, depth = random.uniform(5, 50, ROWS), random.uniform(5, 50, ROWS)
    frame = pl.DataFrame(
        {
            "width": [None if i % 17 == 0 else f"{w:.2f} m" for i, w in enumerate(width)],
            "depth": [f"{d:.2f}" for d in depth],
            "sold": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2020" for i in range(ROWS)],
            "town": random.choice(["ulm", "bonn", "kiel"], ROWS),
            "large": np.where(width * depth > 600, "yes", "no"),
            "price": (width * depth * 3 + random.normal(0, 30, ROWS)).round(1),
        }
    )
    path = tmp_path_factory.mktemp("plots") / "train.csv"
    frame.write_csv(path)
    return path


@pytest.fixture
def make(make_config, plots: Path):
    def make(target: str = "large", **settings: object):
        return make_config(target, **{**settings_for(plots, target), **settings})

    return make


@pytest.fixture
def trained(train_once, plots: Path) -> Path:
    best = train_once("large", **settings_for(plots)).best_checkpoint
    assert best is not None
    return best


def settings_for(plots: Path, target: str = "large") -> dict[str, object]:
    other = {"large": "price", "price": "large"}[target]
    return {"data.train": plots, "data.drop_columns": [other], "optimizer.learning_rate": 5e-3}


def test_numbers_and_dates_are_read_in_their_tokens_unasked(trained: Path) -> None:
    predictor = Predictor.load(trained)
    pipeline, encoder = predictor.pipeline, predictor.model.encoder
    assert [number.column for number in pipeline.numbers] == ["width", "depth", "sold"]
    assert encoder.config.numeric_tokens == pipeline.number_tokens
    assert predictor.model.head.config.num_numbers == 0
    for (start, end), label in zip(
        pipeline.number_tokens, ("width", "depth", "sold month"), strict=True
    ):
        spelt = pipeline.tokenizer.spell(range(start, end))
        assert all(word.startswith(f"[{label}=") for word in spelt)
        assert f"[{label}=missing]" not in spelt
    log = (trained.parent.parent / "train.log").read_text()
    assert "numbers and dates: each value is added to the token of its cell" in log


def test_a_value_counts_within_its_bin(trained: Path, plots: Path) -> None:
    predictor = Predictor.load(trained, precision="f32")
    feature = next(f for f in predictor.pipeline.features if f.column == "depth")
    low, high = feature.edges[2] + 1e-3, feature.edges[3] - 1e-3  # of one bin, so of one token
    rows = read_table(plots)[:20]
    answers = [
        predictor.predict(rows.with_columns(depth=pl.lit(str(value)))) for value in (low, high)
    ]
    assert not np.allclose(*answers, atol=1e-4)


@pytest.mark.parametrize("target", ["large", "price"])
@pytest.mark.quick_for("price")
def test_predicting_gives_the_scores_of_evaluating_in_both_layouts(
    make, train_once, plots: Path, target: str
) -> None:
    best = train_once(target, **settings_for(plots, target)).best_checkpoint
    assert best is not None
    predictor = Predictor.load(best, precision="f32")
    val = prepare(make(target)).val
    scored = predictor.score(val)
    assert np.array_equal(predictor.predict(val), scored.scores)
    loader = predictor.pipeline.make_loader(val, batch_size=7)
    loader.layout = "padded" if loader.layout == "packed" else "packed"
    if loader.layout == "padded" or kernels.is_native():
        np.testing.assert_allclose(predictor.score(loader).scores, scored.scores, atol=1e-4)


@pytest.mark.parametrize(
    "more", [{}, {"augmentation.token_masking": 0.2, "augmentation.column_dropout": 0.2}]
)
@pytest.mark.medium
def test_a_run_resumes_bit_for_bit(check_exact_resume, plots: Path, more: dict) -> None:
    check_exact_resume(target="large", **settings_for(plots), **more)


def test_off_reads_bins_alone(make) -> None:
    best = run_training(make(**FEW, **{"data.numeric_features": "off"})).best_checkpoint
    assert best is not None
    assert Predictor.load(best).model.num_numbers == 0


def test_some_columns_alone_may_be_read_so(make) -> None:
    best = run_training(make(**FEW, **{"data.numeric_features": "depth"})).best_checkpoint
    assert best is not None
    assert [number.column for number in Predictor.load(best).pipeline.numbers] == ["depth"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("town", "not read as numbers or dates"),
        ("widht", "did you mean 'width'"),
        ("price", "must not be read"),
    ],
)
def test_columns_that_are_no_numbers_are_named(make, asked: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_training(make(**{"data.numeric_features": asked}))


@pytest.mark.medium
def test_an_ensemble_averages_members(make) -> None:
    result = train_ensemble(make(**FEW, **{"ensemble.num_models": 2}))
    assert 0 <= result.metrics["val_accuracy"] <= 1


def test_a_stream_gives_the_numbers_that_memory_gives(
    trained: Path, plots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 13)
    pipeline = TextPipeline.load(trained)
    expected = pipeline.tokenize(read_table(plots)).numbers
    assert expected is not None
    seen = np.full_like(expected, -1)
    for batch in pipeline.make_streaming_loader(open_stream(plots), batch_size=9, shuffle=True):
        seen[np.array(batch.rows)] = np.array(batch.tokens.numbers)
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.medium
def test_a_checkpoint_goes_on_with_its_own_numbers(make, trained: Path) -> None:
    own = TextPipeline.load(trained)
    again = run_training(make(**FEW, **{"model.pretrained": str(trained)})).best_checkpoint
    assert again is not None
    read = TextPipeline.load(again)
    assert (read.numbers, read.number_tokens) == (own.numbers, own.number_tokens)
    with pytest.raises(ValueError, match="was trained with width, depth, sold as numbers"):
        run_training(make(**{"model.pretrained": str(trained), "data.numeric_features": "depth"}))
    with pytest.raises(ValueError, match="adds the values of 3 numbers to their tokens"):
        run_training(make(**{"model.pretrained": str(trained), "data.numeric_features": "off"}))


def test_an_adapter_keeps_the_numbers_of_its_base(make, trained: Path, plots: Path) -> None:
    best = run_training(
        make(**FEW, **{"model.pretrained": str(trained), "lora.enabled": True})
    ).best_checkpoint
    assert best is not None
    predictor = Predictor.load(best)
    assert predictor.model.num_numbers == 3
    assert np.isfinite(predictor.predict(read_table(plots))).all()


def test_a_pipeline_with_other_numbers_than_the_encoder_is_refused(
    trained: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained, tmp_path / "changed")
    state = json.loads((folder / "pipeline.json").read_text())
    state["numbers"], state["number_tokens"] = state["numbers"][:1], state["number_tokens"][:1]
    (folder / "pipeline.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"reads 3 numeric features, but its pipeline\.json"):
        Predictor.load(folder)


def test_looking_into_a_checkpoint_counts_the_numbers(trained: Path) -> None:
    assert inspect_model(trained).parameters["numbers"] == 3 * 32 * 16


def test_exporting_for_transformers_is_refused_with_the_way_out(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"values of 3 numbers.*data\.numeric_features=off"):
        export_model(trained, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def ramps_of(folder: Path) -> mx.array:
    weights = mx.load(str(folder / "model.safetensors"))
    return next(weight for name, weight in weights.items() if name.endswith("numbers.weight"))


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.quick_for("packed")
def test_pretraining_learns_the_values_and_training_goes_on_with_them(
    make, plots: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    if layout == "padded":
        monkeypatch.setattr(kernels, "is_native", lambda: False)
    pretrained = run_pretraining(make()).run_dir.best
    text, ramps = load_row_text(pretrained), ramps_of(pretrained)
    assert [number.column for number in text.numbers] == ["width", "depth", "sold"]
    assert (
        mx.abs(ramps).sum(axis=(1, 2)).min().item() > 0
    )  # each of them was read, and learned from
    # With a rate of next to nothing the checkpoint stays what it was.
    settings = {"model.pretrained": str(pretrained), "optimizer.learning_rate": 1e-12}
    best = run_training(make(**FEW | settings)).best_checkpoint
    assert best is not None
    pipeline = TextPipeline.load(best)
    assert (pipeline.numbers, pipeline.number_tokens) == (text.numbers, text.number_tokens)
    np.testing.assert_allclose(np.array(ramps_of(best)), np.array(ramps), atol=1e-6)


def test_a_pretrained_model_without_numbers_goes_on_without(make) -> None:
    pretrained = run_pretraining(make(**FEW, **{"data.numeric_features": "off"})).run_dir.best
    assert load_row_text(pretrained).numbers == ()
    best = run_training(make(**FEW, **{"model.pretrained": str(pretrained)})).best_checkpoint
    assert best is not None
    predictor = Predictor.load(best)
    assert predictor.model.num_numbers == len(predictor.pipeline.numbers) == 0


def test_a_preview_shows_the_values_beside_the_text(trained: Path, plots: Path) -> None:
    text, _ = load_reader(trained)
    shown = preview_table(text, read_table(plots), 2)["rows"]
    assert [list(row["values"]) for row in shown] == [["width", "depth", "sold"]] * 2
    assert shown[0]["values"]["width"] is None  # a missing cell
    expected = TextPipeline.load(trained).encode_numbers(read_table(plots)[:2])
    assert expected is not None
    assert shown[1]["values"]["depth"] == pytest.approx(float(expected[1, 1]), abs=1e-4)
