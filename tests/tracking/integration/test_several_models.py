"""Folds, members and other kinds of answers: shown under their run, and one model that answers for all."""

from pathlib import Path

import polars as pl
import pytest

from bert_playground.predict_table import predict_table
from bert_playground.tracking import store_address
from bert_playground.tracking.browse import Store
from bert_playground.training import run_training
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.ensembles import train_ensemble

pytestmark = pytest.mark.slow
ONE = {"training.epochs": 1}


def assert_same_answers(load_pyfunc, store, run, folder: Path, fruit: Path, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.read_csv(fruit).head(12)
    frame.to_csv(tmp_path / "test.csv", index=False)
    predictor, model = load_pyfunc(store, run, folder)
    (expected,) = predict_table(predictor, tmp_path / "test.csv")
    answers = model.predict(frame)
    assert list(answers.columns) == expected.columns
    for column in expected.iter_columns():
        given = answers[column.name].tolist()
        if column.dtype.is_float():
            assert given == pytest.approx(column.to_list(), abs=1e-6)
        else:
            assert list(map(str, given)) == list(map(str, column))


def test_members_of_an_ensemble_are_runs_inside_it(track, load_pyfunc, fruit, tmp_path) -> None:
    result, output = track(train_ensemble, **{**ONE, "ensemble.num_models": 2})
    store = Store(store_address(output))
    (run,) = store.list_runs("fruit")
    inside = store.children(run)
    folders = [member.path.name for member in result.run_dir.members()]
    assert [each.name for each in inside] == folders
    assert {each.kind for each in inside} == {"member"}
    assert all(store.history(each, "val_loss") for each in inside)
    assert run.kind == "ensemble"
    assert run.metric("val_accuracy") == pytest.approx(result.metrics["val_accuracy"])
    assert_same_answers(load_pyfunc, store, run, result.run_dir.path, fruit, tmp_path)


def test_models_of_folds_are_runs_inside_it(track, load_pyfunc, fruit, tmp_path) -> None:
    folds = {"cross_validation.folds": 2, "cross_validation.members": ["scratch", "linear"]}
    result, output = track(run_cross_validation, **ONE, **folds)
    store = Store(store_address(output))
    (run,) = store.list_runs("fruit")
    inside = store.children(run)
    assert sorted(each.name for each in inside) == sorted(
        f"{name}, fold {fold}" for name in ("scratch", "linear") for fold in (0, 1)
    )
    assert {each.params["member"] for each in inside} == {"scratch", "linear"}
    assert all(store.history(each, "val_loss") for each in inside if "scratch" in each.name)
    assert run.kind == "cross_validation"
    assert run.metrics["member/linear/val_accuracy"] == pytest.approx(
        result.summary["member_metrics"]["linear"]["val_accuracy"]
    )
    assert {"oof.parquet", "folds.csv", "blend.json"} <= set(store.files(run))
    assert_same_answers(load_pyfunc, store, run, result.run_dir.path, fruit, tmp_path)


@pytest.mark.parametrize(
    ("target", "settings"),
    [
        ("price", {}),
        ("ripe,large", {"data.drop_columns": ["price", "kind"]}),
        ("ripe", {"data.text_pair": ["colour", "size"]}),
    ],
    ids=["regression", "multilabel", "text pair"],
)
def test_other_tasks_answer_in_their_own_units(
    track, load_pyfunc, fruit, tmp_path, target: str, settings
) -> None:
    size = pl.when(pl.col("size") == "large").then(pl.lit("yes")).otherwise(pl.lit("no"))
    table = tmp_path / "train.csv"
    pl.read_csv(fruit).with_columns(large=size).write_csv(table)
    settings = {**ONE, "data.train": table, **settings}
    result, output = track(run_training, target, **settings)
    store = Store(store_address(output))
    (run,) = store.list_runs("fruit")
    assert_same_answers(load_pyfunc, store, run, result.run_dir.path, table, tmp_path)
