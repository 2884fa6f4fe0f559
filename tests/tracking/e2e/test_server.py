"""A real MLflow server on loopback: a training against it, its model served, and what becomes of a run when it hangs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bert_playground.tracking.ui import PYTHON_VARIABLE

PYTHON = os.environ.get(PYTHON_VARIABLE, "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON,
        reason=f"{PYTHON_VARIABLE} names no Python with the full mlflow; .ci/mlflow does",
    ),
]
TINY = [
    f"--set=model.{name}={value}"
    for name, value in {"hidden_size": 16, "num_layers": 1, "num_heads": 2}.items()
]
BERT = [sys.executable, "-c", "from bert_playground.cli.app import main; main()"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment(**values: str) -> dict[str, str]:
    """As is, with the package of this checkout, and MLflow's programs before all others."""
    own = {
        "PYTHONPATH": str(Path(__file__).parents[3] / "src"),
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return os.environ | own | values


@contextmanager
def served(words: list[str], page: str, log: Path, **values: str) -> Iterator[subprocess.Popen]:
    """A process that serves the page until the block ends."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [PYTHON, "-m", "mlflow", *words],
            stdout=output, stderr=subprocess.STDOUT, cwd=log.parent, env=environment(**values), start_new_session=True,
        )  # fmt: skip
    try:
        if not answers(process, page):
            pytest.fail(f"{page} did not come up:\n{log.read_text()[-3000:]}")
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(process: subprocess.Popen, page: str) -> bool:
    for _ in range(1200):
        if process.poll() is not None:
            return False
        try:
            urllib.request.urlopen(page, timeout=2).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen]]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    address = f"http://127.0.0.1:{port}"
    words = f"server --host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///mlflow.db".split()
    artifacts = ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    with served([*words, *artifacts], f"{address}/health", folder / "server.log") as process:
        yield address, process


def bert(folder: Path, address: str, *words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*BERT, *map(str, words)],
        cwd=folder, env=environment(MLFLOW_TRACKING_URI=address), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def ask(folder: Path, address: str, *words: object) -> Any:
    done = bert(folder, address, "mlflow", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def trained(server, passengers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a training was tracked with the server, and its test table was predicted."""
    folder = tmp_path_factory.mktemp("trained")
    address = server[0]
    words = [
        "--train",
        passengers / "train.csv",
        "--mlflow",
        "--experiment",
        "ships",
        "--epochs",
        3,
    ]
    done = bert(folder, address, "train", *words, *TINY)
    assert done.returncode == 0, done.stderr
    assert f"to look at it: {address}/#/experiments/" in done.stderr
    assert "not tracked" not in done.stderr
    predicted = bert(folder, address, "predict", "--test", passengers / "test.csv")
    assert predicted.returncode == 0, predicted.stderr
    return folder


def test_the_server_has_the_run_its_curves_table_files_and_model(server, trained) -> None:
    (run,) = ask(trained, server[0], "runs", "--experiment", "ships")
    shown = ask(trained, server[0], "show", run["run_id"])
    assert shown["status"] == "FINISHED"
    assert shown["given"]["training.epochs"] == "flag"
    assert shown["metrics"]["val_loss_best"] > 0
    assert any(name.startswith("system/") for name in shown["metrics"])
    assert shown["tables"][0]["context"] == "training"
    assert "summary.json" in shown["files"]
    ask(trained, server[0], "export", run["run_id"], "--output", "out")
    values = re.findall(
        r"^val_loss,\d+,", (trained / "out" / "metrics.csv").read_text(), re.MULTILINE
    )
    assert len(values) == 3
    assert (trained / "out" / "model" / "artifacts" / "checkpoint" / "model.safetensors").is_file()


def test_the_served_model_answers_what_bert_predict_writes(
    server, trained, passengers: Path, tmp_path: Path
) -> None:
    address = server[0]
    (run,) = ask(trained, address, "runs", "--experiment", "ships")
    version = ask(
        trained, address, "register", run["run_id"], "--name", "ships", "--alias", "champion"
    )
    assert version["version"] == "1"
    port = free_port()
    words = f"models serve -m models:/ships@champion --env-manager local --host 127.0.0.1 --port {port}".split()
    page = f"http://127.0.0.1:{port}"
    with served(words, f"{page}/ping", tmp_path / "log", MLFLOW_TRACKING_URI=address):
        header, *lines = (passengers / "test.csv").read_text().splitlines()
        cells = [[cell or None for cell in line.split(",")] for line in lines]
        question = {"dataframe_split": {"columns": header.split(","), "data": cells}}
        request = urllib.request.Request(
            f"{page}/invocations",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answers = json.load(reply)["predictions"]
    expected = (trained / "submission.csv").read_text().splitlines()
    assert [",".join(answers[0])] == expected[:1]
    assert [",".join(map(str, row.values())) for row in answers] == expected[1:]


def test_a_server_that_stops_answering_costs_a_run_seconds_and_not_its_result(
    server, passengers: Path, tmp_path: Path
) -> None:
    address, process = server
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        words = ["--train", passengers / "train.csv", "--mlflow", "--epochs", 1, *TINY]
        done = bert(tmp_path, address, "train", *words)
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    assert done.returncode == 0, done.stderr
    assert "did not answer in time; the run folder has all of it" in done.stderr
    assert list(tmp_path.glob("output/run_*/checkpoints/best"))
