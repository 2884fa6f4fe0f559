"""run_cross_validation: each row is answered by models that have not seen it, once, and what is complete is never fitted again."""

import errno
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bert_playground.blend_predictor import BlendPredictor
from bert_playground.blending.decision import Decision
from bert_playground.data.reading.table import read_table
from bert_playground.ensemble_predictor import load_predictor
from bert_playground.logger import logger
from bert_playground.training.cross_validation import fold_fit, schedule
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.evaluation.calibrate import rows_of_run
from bert_playground.training.evaluation.calibrate_blend import calibrate_blend
from bert_playground.training.evaluation.evaluate import evaluate_table
from bert_playground.training.metrics.classification import accuracy, roc_auc

pytestmark = [pytest.mark.usefixtures("_few_rounds"), pytest.mark.medium]

FOLDS = {
    "cross_validation.folds": 3,
    "cross_validation.members": ("encoder", "constant", "linear"),
    "training.epochs": 2,
}


@pytest.fixture
def result(train_once) -> Any:
    return train_once(train=run_cross_validation, **FOLDS)


def test_each_row_is_answered_once_by_models_that_have_not_seen_it(result, fruit: Path) -> None:
    oof = pl.read_parquet(result.run_dir.out_of_fold)
    folds = read_table(result.run_dir.folds_file(0))
    assert oof.height == 120
    assert oof["row_oof"].to_list() == list(range(120))  # the table's id is called row too
    assert oof["row"].to_list() == read_table(fruit)["row"].to_list()
    assert oof["fold"].to_list() == folds["fold"].cast(pl.Int64).to_list()
    assert oof["ripe"].to_list() == read_table(fruit)["ripe"].to_list()
    assert {"encoder", "constant", "linear", "blend"} <= set(oof.columns)
    for fold in range(3):  # the constant answer of a fold is the share among the rows of the others
        inside = oof["fold"] == fold
        share = (oof.filter(~inside)["ripe"] == "yes").mean()
        assert oof.filter(inside)["constant"].to_numpy() == pytest.approx(share, abs=1e-6)


def test_models_of_a_fold_answer_as_the_file_says(result, fruit: Path) -> None:
    oof = pl.read_parquet(result.run_dir.out_of_fold)
    frame = read_table(fruit)
    for member in ("encoder", "linear"):
        folder = result.run_dir.fold_fit(0, 1, member)
        rows = oof["fold"] == 1
        known = fold_fit.load_fold_model(folder, None).predict(frame.filter(rows))
        if member == "encoder" and result.summary["kept_epochs"]["encoder"] != 2:
            continue  # answered at another epoch than the one that all folds keep
        assert oof.filter(rows)[member].to_numpy() == pytest.approx(known, abs=1e-6)


def test_the_run_folder_answers_rows_with_the_blend(result, fruit: Path) -> None:
    predictor, frame = load_predictor(result.run_dir.path), read_table(fruit)
    assert isinstance(predictor, BlendPredictor)
    scores = predictor.predict(frame)
    means = {
        name: np.mean([model.predict(frame) for model in models], axis=0)
        for name, models in predictor.members.items()
    }
    np.testing.assert_allclose(scores, predictor.stack.score(means), atol=1e-6)
    labels = predictor.pipeline.encode_labels(frame)
    assert accuracy(labels, predictor.decide(scores)) > 0.95
    assert predictor.labels(frame).to_list() == predictor.answers(scores)["ripe"].to_list()


def test_the_summary_tells_every_member_and_what_it_adds(result) -> None:
    summary = json.loads(result.run_dir.summary.read_text())
    assert set(summary["member_metrics"]) == {"encoder", "constant", "linear"}
    blend = summary["blend"]
    assert blend["is_out_of_fold"]
    assert len(blend["fold_scores"]) == 3
    assert sum(member["weight"] for member in blend["members"]) == pytest.approx(1)
    assert summary["metrics"]["val_accuracy"] == pytest.approx(blend["score"])


@pytest.mark.parametrize("target", ["price", "kind"])
def test_numbers_and_several_classes_are_blended_too(make_config, fruit: Path, target: str) -> None:
    config = make_config(target, **FOLDS | {"cross_validation.members": ("encoder", "linear")})
    result = run_cross_validation(config)
    oof, frame = pl.read_parquet(result.run_dir.out_of_fold), read_table(fruit)
    answers = load_predictor(result.run_dir.path)
    decoded = answers.answers(answers.predict(frame))[target]
    if target == "price":  # in the units of the target
        truth = frame["price"].cast(pl.Float64).to_numpy()
        assert np.corrcoef(oof["linear"].to_numpy(), truth)[0, 1] > 0.9
        assert np.corrcoef(decoded.to_numpy(), truth)[0, 1] > 0.9
    else:
        shares = oof.select(f"linear:{name}" for name in ("apple", "banana", "lime")).to_numpy()
        assert shares.sum(axis=1) == pytest.approx(1)
        assert (decoded == frame["kind"]).mean() > 0.95


def test_repeats_draw_other_folds_and_each_row_is_answered_in_each(make_config) -> None:
    settings = FOLDS | {
        "cross_validation.members": ("constant", "linear"),
        "cross_validation.repeats": 2,
    }
    result = run_cross_validation(make_config(**settings))
    oof = pl.read_parquet(result.run_dir.out_of_fold)
    first, second = (oof.filter(repeat=repeat) for repeat in (0, 1))
    assert first.height == second.height == 120
    assert first["fold"].to_list() != second["fold"].to_list()
    assert first["linear"].to_list() != second["linear"].to_list()
    assert result.run_dir.folds_file(1).is_file()


def stop_at(monkeypatch: pytest.MonkeyPatch, fold: int, error: BaseException) -> None:
    """Let the encoder of a fold raise."""
    fit = fold_fit.fit

    def stop(prepared, config, run, *more, **options):
        if run.path.parent.name == f"fold_{fold}":
            raise error
        return fit(prepared, config, run, *more, **options)

    monkeypatch.setattr(fold_fit, "fit", stop)


def bits_of(run: Path) -> tuple[bytes, dict]:
    summary = json.loads((run / "summary.json").read_text())
    return (run / "oof.parquet").read_bytes(), summary["blend"]


def test_a_stopped_run_goes_on_and_ends_as_an_unbroken_one(
    make_config, result, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt) as stopped:
            run_cross_validation(make_config(**FOLDS))
    note = " ".join(stopped.value.__notes__)
    assert "--resume" in note
    left = Path(note.split()[-1])
    written = (left / "folds/repeat_0/fold_0/encoder/summary.json").stat().st_mtime_ns
    again = run_cross_validation(make_config(), resume=left)
    assert bits_of(again.run_dir.path) == bits_of(result.run_dir.path)
    assert (left / "folds/repeat_0/fold_0/encoder/summary.json").stat().st_mtime_ns == written


def test_a_full_disk_ends_the_run_and_keeps_what_is_complete(
    make_config, result, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 1, OSError(errno.ENOSPC, "the disk is full", "model.safetensors"))
        with pytest.raises(OSError, match="the disk is full") as stopped:
            run_cross_validation(make_config(**FOLDS))
    (note,) = stopped.value.__notes__
    left = Path(note.split()[-1])
    assert "go on afterwards with: bert train --resume" in note
    assert (left / "folds/repeat_0/fold_0/encoder/summary.json").is_file()
    again = run_cross_validation(make_config(), resume=left)
    assert bits_of(again.run_dir.path) == bits_of(result.run_dir.path)


def test_a_run_does_not_go_on_with_another_table(
    result, make_config, fruit: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(result.run_dir.path, run)
    table = tmp_path / "train.csv"
    table.write_text("\n".join(fruit.read_text().splitlines()[:-5]) + "\n")
    document = json.loads((run / "config.json").read_text())
    document["values"]["data"]["train"] = str(table)
    (run / "config.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"not the one that .*folds\.csv was written for"):
        run_cross_validation(make_config(), resume=run)


def test_a_member_that_fails_is_said_and_the_others_go_on(
    make_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fold_fit.fit_tabular

    def fail(name: str, *more, **options):
        if name == "linear":
            raise MemoryError("not enough")
        return fit(name, *more, **options)

    monkeypatch.setattr(fold_fit, "fit_tabular", fail)
    settings = FOLDS | {"cross_validation.members": ("constant", "linear", "boosting")}
    result = run_cross_validation(make_config(**settings))
    assert "not enough" in result.summary["failures"]["linear"]
    assert "linear" not in result.summary["member_metrics"]
    assert load_predictor(result.run_dir.path).members


def test_folds_of_a_file_are_those_of_every_model(result, make_config) -> None:
    path = result.run_dir.folds_file(0)
    settings = FOLDS | {"cross_validation.folds": path, "cross_validation.members": ("constant",)}
    again = run_cross_validation(make_config(**settings))
    old, new = (pl.read_parquet(run.run_dir.out_of_fold) for run in (result, again))
    assert old["fold"].to_list() == new["fold"].to_list()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.val": "val.csv"}, "do not go with data.val"),
        ({"cross_validation.folds": 121}, "cannot be dealt"),
        ({"cross_validation.members": ("linaer",)}, "linear"),
        ({"cross_validation.members": ("linear", "linear")}, "twice"),
        ({"checkpoint.enable_checkpointing": False}, "made of checkpoints"),
        ({"data.streaming": True}, "whole table"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_fitted(
    make_config, tmp_path: Path, settings: dict, message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_cross_validation(make_config(**FOLDS | settings))
    assert not list((tmp_path / "output").glob("run_*/folds/*"))


def test_side_by_side_gives_what_one_after_the_other_gives(make_config) -> None:
    few = {"cross_validation.folds": 2, "cross_validation.members": ("encoder", "constant")}
    runs = [
        run_cross_validation(make_config(**few | {"cross_validation.jobs": jobs}))
        for jobs in (1, 2)
    ]
    assert bits_of(runs[0].run_dir.path) == bits_of(runs[1].run_dir.path)


def test_time_that_is_up_leaves_out_what_was_not_begun(
    make_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule.Schedule, "_has_time", _only_beside)
    result = run_cross_validation(make_config(**FOLDS))
    assert set(result.summary["member_metrics"]) == {"constant", "linear"}


def _only_beside(self, member, num_fits) -> bool:
    return not member.is_encoder


@pytest.mark.slow
def test_refit_members_answer_in_place_of_the_models_of_the_folds(make_config, fruit: Path) -> None:
    result = run_cross_validation(make_config("kind", **FOLDS | {"training.refit": True}))
    predictor, frame = load_predictor(result.run_dir.path), read_table(fruit)
    assert isinstance(predictor, BlendPredictor)
    assert {len(models) for models in predictor.members.values()} == {1}
    for models in predictor.members.values():
        assert "refit" in models[0].checkpoint.parts
    assert (predictor.labels(frame) == frame["kind"]).mean() > 0.95


@pytest.mark.parametrize(
    "decision", [None, Decision("threshold", (0.3,)), Decision("multipliers", (1.0, 0.4, 2.0))]
)
def test_a_calibrated_blend_decides_as_before(
    train_once, fruit: Path, tmp_path: Path, decision: Decision | None
) -> None:
    target = "kind" if decision is not None and decision.kind == "multipliers" else "ripe"
    run = tmp_path / "run"
    shutil.copytree(train_once(target, train=run_cross_validation, **FOLDS).run_dir.path, run)
    document = json.loads((run / "blend.json").read_text())
    if decision is not None:
        document["stack"]["decision"] = decision.to_dict()
    (run / "blend.json").write_text(json.dumps(document))
    before, frame = BlendPredictor.load(run), read_table(fruit)
    done = calibrate_blend(before)
    after = BlendPredictor.load(run)
    assert after.stack.calibration is not None
    assert after.stack.calibration.temperature == pytest.approx(done.after.temperature)
    assert done.after.log_loss <= done.before.log_loss
    assert after.labels(frame).to_list() == before.labels(frame).to_list()


@pytest.mark.slow
def test_shuffled_labels_are_answered_at_chance(tmp_path: Path, make_config) -> None:
    random = np.random.default_rng(0)
    rows = 240
    table = tmp_path / "noise.csv"
    pl.DataFrame(
        {
            "id": np.arange(rows),
            "code": [f"{a}-{b}" for a, b in random.integers(0, 60, (rows, 2))],
            "size": random.normal(size=rows).round(2),
            "words": [" ".join(random.choice(list("abcdefgh"), 6)) for _ in range(rows)],
            "y": random.permutation(np.arange(rows) % 2),
        }
    ).write_csv(table)
    members = ("encoder", "linear", "boosting")
    settings = {"data.train": table, "data.drop_columns": (), "cross_validation.members": members}
    result = run_cross_validation(make_config("y", **FOLDS | settings | {"training.epochs": 1}))
    oof = pl.read_parquet(result.run_dir.out_of_fold)
    truth = oof["y"].cast(pl.Int64).to_numpy()
    error = np.sqrt((rows + 1) / (12 * (rows / 2) ** 2))  # of the ROC-AUC of guesses
    for member in (*members, "blend"):
        assert abs(roc_auc(truth, oof[member].to_numpy()) - 0.5) < 3.5 * error


def test_the_run_of_a_fold_knows_which_rows_its_model_has_not_seen(result, fruit: Path) -> None:
    oof = pl.read_parquet(result.run_dir.out_of_fold)
    rows, _ = rows_of_run(result.run_dir.fold_fit(0, 2, "encoder") / "checkpoints" / "best")
    assert rows["row"].to_list() == oof.filter(fold=2)["row"].to_list()


@pytest.mark.slow
def test_pseudo_labels_join_the_blend_only_where_they_win(
    make_config, fruit: Path, tmp_path: Path
) -> None:
    frame = read_table(fruit)
    frame[:90].write_csv(tmp_path / "train.csv")
    frame[90:].drop("ripe", "price", "kind").write_csv(tmp_path / "test.csv")
    settings = FOLDS | {
        "data.train": tmp_path / "train.csv",
        "cross_validation.members": ("encoder",),
        "cross_validation.pseudo": 0.51,
        "model.num_layers": 2,
    }
    result = run_cross_validation(make_config(**settings))
    log = (result.run_dir.fold_fit(0, 0, "encoder_pseudo") / "train.log").read_text()
    assert (
        "of 30 rows of the test table are learned from too" in result.run_dir.train_log.read_text()
    )
    assert "step" in log
    assert result.summary["failures"] == {}
    # Both answer every row right, so nothing is gained.
    assert "not shown to gain" in result.summary["skipped"]["encoder_pseudo"]
    assert set(result.summary["member_metrics"]) == {"encoder"}


def test_a_blend_says_that_it_was_trained_on_the_rows(result, fruit: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", level="WARNING")
    predictor = load_predictor(result.run_dir.path)
    found = evaluate_table(predictor, fruit)
    copy = tmp_path / "other.csv"
    copy.write_text(fruit.read_text())
    other = evaluate_table(predictor, copy)
    model = load_predictor(result.run_dir.fold_fit(0, 0, "encoder"))
    assert evaluate_table(model, fruit).is_seen
    logger.remove(sink)
    assert (found.is_seen, other.is_seen) == (True, False)
    assert f"{result.run_dir.path} was trained on rows of {fruit}" in "".join(lines)


def test_answers_that_cannot_be_kept_are_an_error_of_the_disk(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            fold_fit.write_answers(tmp_path, np.zeros(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
