"""bert mlflow … on a store of three runs, a model and an experiment that was deleted."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app
from bert_playground.extras import missing_modules
from bert_playground.tracking import TrackedRun, connect, store_address
from bert_playground.tracking.tracked_run import Beginning
from tests.tracking.conftest import tables

__all__ = ["tables"]  # a fixture

pytestmark = [
    pytest.mark.medium,
    pytest.mark.skipif(bool(missing_modules("mlflow")), reason="the mlflow extra is not installed"),
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning"
    ),  # of MLflow and SQLAlchemy about each other
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MODEL = "utc_time_created: '2026-01-01'\nflavors:\n  python_function:\n    loader_module: json\n"


@pytest.fixture(scope="module")
def made(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with its store."""
    output = tmp_path_factory.mktemp("output")
    shutil.copy2(tables, output / "mlflow.db")
    model = output / "model"
    model.mkdir()
    (model / "MLmodel").write_text(MODEL)
    for number, accuracy in enumerate((0.7, 0.9, 0.8), start=1):
        tags = {
            "bert_playground.run": str(output / f"run_{number}"),
            "bert_playground.kind": "run",
            "bert_playground.monitor": "val_accuracy",
            "bert_playground.mode": "max",
            "source.training.epochs": "flag",
        }
        params = {"training.epochs": number, "training.seed": 0}
        tracked = TrackedRun(
            store_address(output), Beginning("fruit", f"run_{number}", params, tags)
        )
        for step in range(3):
            tracked.log_metrics({"val_accuracy": accuracy - 0.1 * step, "val_loss": step}, step)
        tracked.log_metrics({"val_accuracy_best": accuracy}, 0)
        tracked.log_file(model / "MLmodel")
        if number == 2:
            tracked.log_model(model, "model")
            inside = TrackedRun(tracked.address, Beginning("fruit", "fold 0"), tracked)
            inside.finish()
        assert not tracked.finish().counts
    client = connect(store_address(output))
    client.delete_experiment(client.create_experiment("gone"))
    return output


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the database, where the commands look for it; artifacts are those of the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("BERT_PLAYGROUND_MLFLOW", raising=False)
    (tmp_path / "output").mkdir()
    shutil.copy2(made / "mlflow.db", tmp_path / "output" / "mlflow.db")
    return tmp_path / "output" / "mlflow.db"


def run(*words: object):
    return CliRunner().invoke(app, ["mlflow", *map(str, words)], env={"COLUMNS": "160"})


def run_json(*words: object):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refusal(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 2, result.output
    return result.stderr


def test_runs_lists_the_newest_first_with_what_decides(store) -> None:
    listed = run_json("runs")
    assert [each["name"] for each in listed] == ["run_3", "run_2", "run_1"]
    result = run("runs", "--limit", 2)
    assert "2 of 3 runs; experiment fruit, kind run, metric val_accuracy" in " ".join(
        result.stdout.split()
    )
    assert "0.9" in result.stdout
    assert [each["name"] for each in run_json("runs", "--nested")].count("fold 0") == 1
    assert run_json("runs", "--status", "failed") == []


@pytest.mark.parametrize("named", ["run_2", "{id}", "{id:.8}", "{folder}/run_2/"])
def test_a_run_is_found_by_name_id_its_beginning_and_its_folder(store, made, named: str) -> None:
    (expected,) = [each for each in run_json("runs") if each["name"] == "run_2"]
    found = run_json("show", named.format(id=expected["run_id"], folder=made))
    assert found["run_id"] == expected["run_id"]
    assert [child["name"] for child in found["children"]] == ["fold 0"]
    assert found["files"] == ["MLmodel"]


def test_show_prints_settings_with_who_gave_them(store) -> None:
    result = run("show", "run_2")
    assert "training.epochs" in result.stdout
    assert "flag" in result.stdout
    assert "training.seed" not in result.stdout  # nobody gave it
    assert "models:/m-" in result.stdout


def test_compare_shows_what_differs(store) -> None:
    table = run_json("compare", "run_1", "run_3")
    assert table["settings"] == {"training.epochs": ["1", "3"]}
    assert table["metrics"]["val_accuracy_best"] == [0.7, 0.8]
    assert "training.seed" not in run("compare", "run_1", "run_3").stdout


def test_best_goes_by_what_the_runs_were_judged_by_or_what_is_asked(store) -> None:
    found = run_json("best")
    assert (found["name"], found["value"], found["mode"]) == ("run_2", 0.9, "max")
    assert run_json("best", "--metric", "val_loss")["mode"] == "min"
    assert run_json("best", "--metric", "val_accuracy", "--mode", "min")["name"] == "run_1"


def test_register_and_promote_move_an_alias(store) -> None:
    made = run_json("register", "run_2", "--name", "ripeness", "--alias", "champion")
    assert (made["version"], made["aliases"]) == ("1", ["champion"])
    run_json("register", "run_2", "--name", "ripeness", "--alias", "challenger")
    moved = run_json("promote", "ripeness", "challenger")
    assert (moved["version"], moved["before"]) == ("2", "1")
    result = run("promote", "ripeness", "1", "--alias", "champion")
    assert "models:/ripeness@champion is version 1, it was version 2" in result.stdout


def test_export_writes_files_that_need_no_mlflow(store, tmp_path) -> None:
    run_json("export", "run_2", "--output", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "run.json").read_text())
    assert document["params"]["training.epochs"] == "2"
    lines = (tmp_path / "out" / "metrics.csv").read_text().splitlines()
    assert [line for line in lines if line.startswith("val_loss")] == [
        f"val_loss,{step},{float(step)}" for step in range(3)
    ]
    assert [path.name for path in (tmp_path / "out" / "artifacts").iterdir()] == ["MLmodel"]
    assert (tmp_path / "out" / "model" / "MLmodel").is_file()
    assert "is there already" in refusal("export", "run_2", "--output", tmp_path / "out")


def test_doctor_finds_nothing_wrong_and_restores_what_was_deleted(store) -> None:
    found = {each["what"]: each["state"] for each in run_json("doctor")}
    assert {found[what] for what in ("packages", "store", "tables", "connection")} == {"ok"}
    assert "deleted: gone" in refusal("doctor", "--restore", "fruits")
    assert run("doctor", "--restore", "gone").exit_code == 0
    assert run_json("runs", "--experiment", "gone") == []


def test_doctor_names_another_version_and_upgrade_keeps_a_copy(store) -> None:
    import sqlite3

    with sqlite3.connect(store) as database:
        database.execute("UPDATE alembic_version SET version_num = 'nobody'")
    database.close()
    result = run("doctor")
    assert result.exit_code == 2
    assert "version nobody" in result.stdout
    before = store.read_bytes()
    assert "is as it was" in refusal("doctor", "--upgrade")  # it is of no version that is known
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def test_a_read_only_store_is_a_finding(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK
    )  # root may write everywhere
    result = run("doctor")
    assert result.exit_code == 2
    assert "cannot be written" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "run_22"], "no run 'run_22'"),
        (["show", "run_22"], "did you mean 'run_2'?"),
        (["runs", "--experiment", "fruits"], "did you mean 'fruit'?"),
        (["runs", "--experiment", "gone"], "no experiment 'gone'"),
        (["runs", "--metric", "accuracy"], "did you mean 'val_accuracy'?"),
        (["best", "--metric", "f2"], "no run has a metric 'f2'"),
        (["compare", "run_1"], "name two or more"),
        (["register", "run_1", "--name", "x"], "run_1 has stored no model"),
        (["register", "run_2", "--name", "a/b"], "no name of a registered model"),
        (["register", "run_2", "--name", "x", "--alias", "latest"], "is no alias"),
        (["promote", "nobody", "1"], "no registered model 'nobody'"),
        (["runs", "--store", "output/mlruns"], "bert mlflow ui --store output/mlflow.db"),
        (["runs", "--store", "elsewhere"], "neither an address nor a place with mlflow.db"),
        (["ui", "--store", "sqlite:///no.db"], "no MLflow store at"),
    ],
)
def test_what_cannot_be_had_is_one_clear_message(store, words: list[str], told: str) -> None:
    assert told in refusal(*words)


def test_without_a_store_the_way_to_one_is_told(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "train with --mlflow first" in refusal("runs")
    assert "does not exist yet" in run("doctor", "--json").stdout


def test_a_server_that_is_not_there_is_told_without_its_secret(
    store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    said = refusal("runs")
    assert "no MLflow server answers at http://***@127.0.0.1:9" in said
    assert "hunter2" not in said


def put_on_path(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def _skinny_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_playground.tracking.ui.NEEDED", "no_such_module")


@pytest.mark.usefixtures("_skinny_alone")
@pytest.mark.parametrize("name", ["uvx", "pipx"])
def test_the_page_is_served_by_what_can_fetch_the_full_mlflow(
    store, tmp_path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put_on_path(tmp_path / "bin", name, monkeypatch)
    line = run("ui", "--port", 5999, "--dry-run").stdout
    assert line.startswith(str(tmp_path / "bin" / name))
    assert f"ui --backend-store-uri sqlite:///{store}" in line
    assert "mlflow==" in line


@pytest.mark.usefixtures("_skinny_alone")
def test_without_any_full_mlflow_it_is_said_what_to_install(
    store, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refusal("ui", "--port", 5999)
    assert "pip install mlflow==" in said
    monkeypatch.setenv("BERT_PLAYGROUND_MLFLOW", sys.executable)
    assert "no Python with the full mlflow" in refusal("ui", "--port", 5999)


def test_the_page_of_a_server_is_its_address(store) -> None:
    result = run("ui", "--store", "https://me:hunter2@tracking.example")
    assert "https://***@tracking.example" in result.stdout


def test_a_port_that_is_taken_is_told_with_another(store) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port + 1}" in refusal("ui", "--port", port)
