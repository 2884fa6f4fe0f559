"""What a tracked training leaves in the store: settings with sources, curves, tables, files, and a model that answers."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bert_playground.predict_table import predict_table
from bert_playground.tracking import store_address
from bert_playground.tracking.browse import Store
from bert_playground.training import run_training

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def tracked(track) -> tuple[Any, Path]:
    """A training of two epochs, and its output folder."""
    return track(run_training, **{"training.epochs": 2, "checkpoint.save_best_only": True})


@pytest.fixture(scope="module")
def store(tracked) -> Store:
    return Store(store_address(tracked[1]))


@pytest.fixture(scope="module")
def run(store: Store) -> Any:
    (found,) = store.list_runs("fruit", nested=True)
    return found


def test_the_run_has_its_folders_name_its_end_and_its_settings_with_sources(tracked, run) -> None:
    assert run.name == tracked[0].run_dir.path.name
    assert run.status == "FINISHED"
    assert run.seconds > 0
    assert run.params["training.epochs"] == "2"
    assert run.given["training.epochs"] == "flag"
    assert run.tags["source.checkpoint.save_best_only"] == "--set"
    assert "model.num_layers" in run.params  # a default, too
    assert "model.dropout" not in run.given


def test_every_line_of_the_history_is_a_point_of_a_curve(tracked, store, run) -> None:
    lines = tracked[0].run_dir.metrics.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for name in ("val_loss", "val_accuracy", "train_loss", "loss", "learning_rate"):
        expected = [(each["step"], each[name]) for each in records if name in each]
        assert len(expected) > 1
        assert store.history(run, name) == expected


def test_the_best_metrics_are_those_of_the_summary(tracked, run) -> None:
    for name, value in tracked[0].summary["metrics"].items():
        assert run.metric(name) == pytest.approx(value)
    assert run.params["result.train_rows"] == str(tracked[0].summary["train_rows"])


def test_the_table_has_the_digest_that_sha256sum_gives(fruit: Path, run) -> None:
    (table,) = run.tables
    assert table["context"] == "training"
    assert hashlib.sha256(fruit.read_bytes()).hexdigest().startswith(table["digest"])


def test_files_of_the_run_folder_are_artifacts(store, run) -> None:
    assert {"config.json", "summary.json", "metrics.jsonl", "train.log", "curves.png"} <= set(
        store.files(run)
    )


def test_nothing_temporary_stays_in_the_run_folder(tracked) -> None:
    assert not [
        path.name for path in tracked[0].run_dir.path.iterdir() if path.name.startswith(".")
    ]


def test_the_model_is_loaded_by_mlflow_and_answers_as_bert_predict(
    tracked, store, run, fruit: Path, tmp_path, load_pyfunc
) -> None:
    import pandas as pd

    frame = pd.read_csv(fruit).drop(columns="ripe").head(20)
    frame.to_csv(tmp_path / "test.csv", index=False)
    predictor, model = load_pyfunc(store, run, tracked[0].run_dir.path)
    for proba in (False, True):
        (expected,) = predict_table(predictor, tmp_path / "test.csv", probabilities=proba)
        answers = model.predict(frame, params={"proba": proba})
        assert list(answers.columns) == expected.columns
        for column in expected.columns:
            assert answers[column].astype(str).tolist() == list(map(str, expected[column]))


def test_signature_example_and_requirements_are_with_the_model(
    store, run, load_pyfunc, tracked
) -> None:
    import mlflow.pyfunc

    _, model = load_pyfunc(store, run, tracked[0].run_dir.path)
    names = [column.name for column in model.metadata.signature.inputs.inputs]
    assert "ripe" not in names
    assert "colour" in names
    assert [column.name for column in model.metadata.signature.outputs.inputs] == ["row", "ripe"]
    assert {each.name for each in model.metadata.signature.params.params} == {"proba", "tta"}
    assert model.input_example.shape[0] == 3
    assert model.predict(model.input_example).shape == (3, 2)
    with store.as_default():
        needed = Path(mlflow.pyfunc.get_model_dependencies(f"models:/{run.model_id}")).read_text()
    assert "bert-playground[cpu]==" in needed


def test_columns_that_are_missing_are_named_by_the_model_itself(
    store, run, load_pyfunc, tracked
) -> None:
    _, model = load_pyfunc(store, run, tracked[0].run_dir.path)
    with pytest.raises(Exception, match=r"lacks 1 column\(s\): 'colour'"):
        model.predict(model.input_example.drop(columns="colour"))


def test_the_model_answers_in_threads_as_servers_have_them(
    store, run, load_pyfunc, tracked
) -> None:
    _, model = load_pyfunc(store, run, tracked[0].run_dir.path)
    rows = model.input_example
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: model.predict(rows), range(4)))
    assert all(answer.equals(model.predict(rows)) for answer in answers)
