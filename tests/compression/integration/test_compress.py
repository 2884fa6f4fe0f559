"""compress_checkpoint: one recipe, a search that is killed and goes on, another teacher; each folder answers rows."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import polars as pl
import pytest
from polars import selectors

from bert_playground.compression.compress import Request, compress_checkpoint, load_full
from bert_playground.compression.point import POINT, Point
from bert_playground.compression.recipe import Recipe
from bert_playground.compression.recover import Recovery
from bert_playground.compression.rows import read_rows
from bert_playground.compression.study import Budget
from bert_playground.compression.swap_noise import add_swap_noise
from bert_playground.compression.teacher import ask_other_teacher, load_other_teacher
from bert_playground.config import load_config
from bert_playground.data.reading.table import read_table
from bert_playground.inference import Predictor
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.run import run_training

PLACES = ("city", "coast", "forest", "river", "valley", "bridge", "market", "harbour")
SIZES = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 64}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    is_bad = random.integers(0, 2, 260)
    words = np.where(is_bad == 1, "storm", "party")
    frame = pl.DataFrame(
        {
            "id": range(260),
            "text": [
                f"a {w} in the {random.choice(PLACES)} number {n}" for n, w in enumerate(words)
            ],
            "target": np.where(random.random(260) < 0.1, 1 - is_bad, is_bad),
        }
    )
    path = tmp_path_factory.mktemp("table") / "train.csv"
    frame.write_csv(path)
    return path


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config, sources = load_config(
        {
            "data": {"train": str(table)},
            "model": SIZES,
            "training": {"epochs": 2, "output_dir": str(tmp_path_factory.mktemp("runs"))},
            "optimizer": {"learning_rate": 3e-3},
        }
    )
    return run_training(config, sources).run_dir.path


@pytest.fixture
def request_for(run: Path, table: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    monkeypatch.setattr("bert_playground.compression.latency.SECONDS", 0.01)

    def make(**options: object) -> Request:
        asked = Request(run, table, recovery=Recovery(epochs=1, learning_rate=1e-3), latency_rows=4)
        return replace(asked, **options)

    return make


def test_one_recipe_becomes_a_checkpoint(
    request_for: Callable[..., Request], table: Path, tmp_path: Path
) -> None:
    recipe = Recipe(layers=1, heads=2, neurons=32)
    done = compress_checkpoint(request_for(recipe=recipe), tmp_path / "small")
    small = Predictor.load(tmp_path / "small")
    config = small.model.encoder.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.intermediate_size) == (
        1,
        2,
        32,
    )
    assert small.score(read_table(table)).scores.shape == (260,)
    point = Point.read(tmp_path / "small")
    assert point == done.points[0]
    assert point.megabytes < done.judged[-1].point.megabytes / 1.5
    assert point.speed_up > 0
    assert done.judged[0].error >= 0
    assert any("26 to compare recipes, 26 put aside" in said for said in done.statements)


@pytest.mark.medium
def test_8_bits_are_a_checkpoint_too(
    request_for: Callable[..., Request], table: Path, tmp_path: Path
) -> None:
    full = Recipe(bits=8)
    done = compress_checkpoint(
        request_for(recipe=full, recovery=Recovery(epochs=0), keeps_vocabulary=True),
        tmp_path / "small",
    )
    rows = read_table(table)
    before = Predictor.load(load_full(done.judged[-1].point.folder).checkpoint).predict(rows)
    np.testing.assert_allclose(Predictor.load(tmp_path / "small").predict(rows), before, atol=0.05)
    assert done.points[0].megabytes < done.judged[-1].point.megabytes / 2


@pytest.mark.medium
def test_learning_brings_back_what_was_lost(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    recipe = Recipe(layers=1, neurons=32)
    losses = {}
    for epochs in (0, 4):
        recovery = Recovery(epochs, learning_rate=3e-3)
        done = compress_checkpoint(
            request_for(recipe=recipe, recovery=recovery), tmp_path / str(epochs)
        )
        losses[epochs] = done.points[0].loss
    assert losses[4] < losses[0]


@pytest.mark.slow
def test_a_search_ends_goes_on_and_says_which_to_use(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    out = tmp_path / "front"
    first = compress_checkpoint(request_for(budget=Budget(1)), out)
    half_written = out / "points" / ".x.12345678.partial"
    half_written.mkdir()
    with pytest.raises(FileExistsError, match="--resume"):
        compress_checkpoint(request_for(), out)
    with pytest.raises(ValueError, match=r"another seed \(0, asked 1\)"):
        compress_checkpoint(request_for(seed=1), out, resumes=True)
    done = compress_checkpoint(request_for(budget=Budget(3)), out, resumes=True)
    assert not half_written.exists()
    assert {p.name for p in first.points} <= {p.name for p in done.points}
    assert 2 <= len(done.points) <= 3
    assert done.reason
    assert (out / "front.png").stat().st_size > 1000
    assert pl.read_csv(out / "front.csv").height == len(done.judged)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["chosen"] == done.chosen.point.name
    assert Predictor.load(done.best).pipeline.targets == ("target",)
    for point in done.points:
        assert (point.folder / POINT).is_file()


@pytest.mark.medium
def test_another_teacher_is_asked(
    request_for: Callable[..., Request], run: Path, tmp_path: Path
) -> None:
    recipe = Recipe(layers=1)
    done = compress_checkpoint(request_for(recipe=recipe, teacher=run), tmp_path / "small")
    assert any("on rows that it may have learned from" in said for said in done.statements)
    assert not any("swap noise" in said for said in done.statements)  # one column is read


def test_copies_want_another_teacher(request_for: Callable[..., Request], tmp_path: Path) -> None:
    recovery = Recovery(epochs=1, copies=2)
    with pytest.raises(ValueError, match="give one with --teacher"):
        compress_checkpoint(
            request_for(recipe=Recipe(layers=1), recovery=recovery), tmp_path / "small"
        )


@pytest.mark.medium
@pytest.mark.parametrize("target", ["target", "kind", "size"])  # two classes, three, a number
def test_of_a_blend_over_the_same_table_the_answers_out_of_fold_are_taken(
    target: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    kinds = random.integers(0, 3, 220)
    columns = {"id": range(100, 320), "colour": np.array(["red", "green", "blue"])[kinds]}
    answers = {
        "target": np.where(kinds + random.integers(0, 2, 220) > 1, 1, 0),
        "kind": np.array(["a", "b", "c"])[np.where(random.random(220) < 0.2, 0, kinds)],
        "size": 10 * kinds + random.normal(size=220).round(2),
    }
    path = tmp_path / "train.csv"
    pl.DataFrame(columns | {"noise": random.normal(size=220), target: answers[target]}).write_csv(
        path
    )
    asked = {
        "data": {"train": str(path), "target": target},
        "model": SIZES,
        "training": {"epochs": 1, "output_dir": str(tmp_path / "runs")},
    }
    full = load_full(run_training(*load_config(asked)).run_dir.path)
    members = {"cross_validation": {"folds": 3, "members": ["linear", "constant"]}}
    stack = run_cross_validation(*load_config(asked | members)).run_dir
    rows = read_rows(full, path).train
    teacher = load_other_teacher(stack.path, full)
    noised = add_swap_noise(rows, full.pipeline.columns, 2, seed=0)
    logits, source = ask_other_teacher(teacher, full, path, rows, noised)
    assert source.endswith(f"out of fold, and on {2 * len(rows)} rows with swap noise")
    logits, of_noised = logits[: len(rows)], logits[len(rows) :]
    learned, asked_again = (
        np.array(full.model.head.predict(mx.array(of_noised))),
        teacher.predict(noised),
    )
    if target == "size":  # each has standardised by rows of its own
        learned = full.pipeline.in_units(learned)
        asked_again = teacher.pipeline.in_units(asked_again)
    np.testing.assert_allclose(learned, asked_again, rtol=1e-3, atol=2e-3)
    oof = pl.read_parquet(stack.out_of_fold).with_columns(pl.col("id").cast(pl.String))
    oof = rows.select("id").join(oof, on="id", how="left", maintain_order="left")
    blended = oof.select(selectors.starts_with("blend")).to_numpy()
    given = np.array(full.model.head.predict(mx.array(logits)))
    if target == "size":
        given = full.pipeline.in_units(given)
    np.testing.assert_allclose(given.reshape(blended.shape), blended, rtol=1e-3, atol=2e-3)


def test_a_table_that_the_run_does_not_know_is_divided_anew(
    request_for: Callable[..., Request], table: Path, tmp_path: Path
) -> None:
    other = shutil.copy(table, tmp_path / "other.csv")
    request = request_for(recipe=Recipe(layers=1), train=Path(other), recovery=Recovery(epochs=0))
    done = compress_checkpoint(request, tmp_path / "small")
    assert any("its scores are too good" in said for said in done.statements)


def test_what_cannot_be_compressed_is_refused(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="layers is 5, expected 1 to 2"):
        compress_checkpoint(request_for(recipe=Recipe(layers=5)), tmp_path / "small")
    with pytest.raises(ValueError, match="metric"):
        compress_checkpoint(request_for(recipe=Recipe(layers=1), metric="f2"), tmp_path / "small")
    assert not (tmp_path / "small").exists()
