"""A store that cannot be used is a warning: the run goes on, and is complete."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bert_playground.logger import logger
from bert_playground.tracking import TrackedRun, connect, outbox, store_address
from bert_playground.tracking.browse import Store
from bert_playground.tracking.tracked_run import Beginning
from bert_playground.training import run_training

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.medium  # the database of MLflow alone takes seconds

QUICK = {"training.epochs": 1, "tracking.log_model": False, "tracking.system_metrics": False}


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log warns of."""
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """The address of a server that takes a question and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        taker = threading.Thread(target=take, daemon=True)
        taker.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)  # which ends the accept that waits
        taker.join()
        for connection in taken:
            connection.close()


def test_a_server_that_hangs_does_not_hang_the_run(
    track, hanging_server, said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", hanging_server)
    result, _ = track(run_training, **QUICK)
    assert result.best_checkpoint.is_dir()
    (line,) = [line for line in said if "not tracked" in line]
    assert "the server did not answer in time" in line
    assert "the run folder has all of it" in line


def test_a_server_that_is_not_there_is_told_at_once_and_at_the_end(
    track, said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "OUTAGE_PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
    result, _ = track(run_training, **QUICK)
    assert result.best_checkpoint.is_dir()
    assert any("no MLflow server answers at http://***@127.0.0.1:9" in line for line in said)
    assert "hunter2" not in "".join(said)


@pytest.mark.parametrize(
    ("experiment", "told"), [("  ", "is empty"), ("gone", "was deleted")], ids=["empty", "deleted"]
)
def test_an_experiment_that_cannot_be_used_is_a_warning(
    track, new_store, said, experiment: str, told: str
) -> None:
    output = new_store()
    client = connect(store_address(output))
    client.delete_experiment(client.create_experiment("gone"))
    result, _ = track(
        run_training, **QUICK, **{"tracking.directory": output, "tracking.experiment": experiment}
    )
    assert result.best_checkpoint.is_dir()
    (line,) = [line for line in said if "this run is not tracked" in line]
    assert told in line


def test_a_place_where_no_database_can_be_made_is_a_warning(track, said, tmp_path) -> None:
    (tmp_path / "file").touch()
    result, _ = track(run_training, **QUICK, **{"tracking.directory": tmp_path / "file" / "sub"})
    assert result.best_checkpoint.is_dir()
    assert any("this run is not tracked" in line for line in said)


def test_one_value_that_is_refused_costs_no_other(new_store) -> None:
    output = new_store()
    tracked = TrackedRun(store_address(output), Beginning("fruit", "run_1"))
    tracked.log_metrics({"f1 of ä?*": 0.5, "": 1.0}, 1)
    tracked.outbox.close()
    again = TrackedRun(store_address(output), Beginning("fruit", "run_2"))
    again.log_metrics({"f1 of ä?*": 0.5}, 1)
    assert not again.finish().counts
    assert Store(store_address(output)).find_run("run_2").metrics == {"f1 of ä__": 0.5}


def test_a_database_of_another_version_names_the_command(track, said, new_store) -> None:
    import sqlite3

    output = new_store()
    with sqlite3.connect(output / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'c48cb773bb87'")
    database.close()
    result, _ = track(run_training, **QUICK, **{"tracking.directory": output})
    assert result.best_checkpoint.is_dir()
    assert any("bert mlflow doctor --upgrade" in line for line in said)


def test_a_folder_of_files_in_the_environment_is_a_warning(
    track, said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./output/mlruns")
    result, _ = track(run_training, **QUICK)
    assert result.best_checkpoint.is_dir()
    (line,) = [line for line in said if "this run is not tracked" in line]
    assert "MLflow 3 no longer opens" in line


def test_a_run_that_breaks_off_is_failed_and_one_that_was_killed_is_marked_when_it_goes_on(
    new_store,
) -> None:
    output = new_store()
    address = store_address(output)
    tags = {"bert_playground.run": "/runs/it's/run_1"}
    killed = TrackedRun(address, Beginning("fruit", "run_1", tags=tags))
    killed.outbox.close()  # its process is gone
    again = TrackedRun(address, Beginning("fruit", "run_1", tags=tags, resumes=True))
    assert not again.finish("FAILED").counts
    statuses = {run.run_id: run.status for run in Store(address).list_runs("fruit")}
    assert statuses == {killed.run_id: "KILLED", again.run_id: "FAILED"}


def test_bad_input_leaves_nothing_behind(track, new_store) -> None:
    output = new_store()
    with pytest.raises(ValueError, match="colours"):
        track(run_training, **QUICK, **{"tracking.directory": output, "data.target": "colours"})
    assert Store(store_address(output)).list_runs() == []


def test_a_new_database_is_there_whole_or_not_at_all(
    tables, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process is killed while MLflow makes the tables."""

    class Killed(BaseException):
        pass

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            shutil.copy2(tables, tracking_uri.removeprefix("sqlite:///"))

        def search_experiments(self) -> None:
            if kills:
                raise Killed

    import mlflow

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    kills = [True]
    with pytest.raises(Killed):
        connect(store_address(tmp_path))
    assert not (tmp_path / "mlflow.db").exists()
    kills.clear()
    connect(store_address(tmp_path))
    monkeypatch.undo()
    assert Store(store_address(tmp_path)).list_runs() == []
    assert list(tmp_path.iterdir()) == [tmp_path / "mlflow.db"]


@pytest.mark.medium
def test_calls_return_at_once(new_store, monkeypatch: pytest.MonkeyPatch) -> None:
    begins, gate = TrackedRun._begin, threading.Event()

    def begin_late(tracked: TrackedRun) -> None:
        assert gate.wait(60)
        begins(tracked)

    monkeypatch.setattr(TrackedRun, "_begin", begin_late)
    output: Path = new_store()
    started = (
        time.thread_time()
    )  # of this thread: what other processes take of the cores is not theirs
    tracked = TrackedRun(store_address(output), Beginning("fruit", "run_1"))
    for step in range(2000):
        tracked.log_metrics({"loss": 1 / (step + 1), "rate": 0.1}, step)
    assert time.thread_time() - started < 0.5
    assert not tracked.run_id  # all calls have returned, and the store has answered none
    gate.set()
    assert not tracked.finish().counts
    (run,) = Store(store_address(output)).list_runs()
    assert len(Store(store_address(output)).history(run, "loss")) == 2000
