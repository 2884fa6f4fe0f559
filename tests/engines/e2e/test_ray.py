"""A real cluster of Ray with two nodes on loopback: folds while one node goes away, prediction after a kill, against this process alone."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

PYTHON = os.environ.get("BERT_PLAYGROUND_RAY", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="BERT_PLAYGROUND_RAY names no Python with the extra ray; .ci/ray does"
    ),
]
TINY = [
    f"--set=model.{name}={value}"
    for name, value in {"hidden_size": 16, "num_layers": 1, "num_heads": 2}.items()
]
BERT = [PYTHON, "-c", "from bert_playground.cli.app import main\nif __name__ == '__main__': main()"]
LONG = 300.0


class Cluster:
    """Two nodes of one CPU each in a process of their own."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address
        self.has_two = True

    def remove_node(self) -> None:
        if self.has_two:
            self._tell()
        self.has_two = False

    def _tell(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "removed\n"


@pytest.fixture(scope="module")
def cluster(root: Path) -> Iterator[Cluster]:
    process = subprocess.Popen(
        [PYTHON, str(root / "tests/engines/e2e/two_nodes.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )
    assert process.stdout is not None
    found = re.fullmatch(r"address (\S+)\n", process.stdout.readline())
    assert found is not None, "the cluster did not start"
    yield Cluster(process, found[1])
    process.communicate(timeout=LONG)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(3)
    colour = random.choice(["green", "red", "yellow"], 400)
    size = random.uniform(1, 9, 400).round(2)
    frame = pl.DataFrame({"id": range(400), "colour": colour, "size": size})
    path = tmp_path_factory.mktemp("fruit") / "train.csv"
    frame.with_columns(ripe=np.where(colour == "green", "no", "yes")).write_csv(path)
    return path


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*BERT, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
    )


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    return conclude(start(folder, *arguments, "--json"))


def conclude(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, said = process.communicate(timeout=LONG)
    assert process.returncode == 0, said
    return json.loads(output)


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + LONG
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def rows(table: Path) -> Path:
    """Ten times the table, to predict."""
    path = table.with_name("rows.csv")
    pl.concat([pl.read_csv(table).drop("ripe")] * 10).with_row_index("number").write_csv(path)
    return path


def fold_arguments(table: Path, output: str) -> list[str]:
    more = ["--folds", "3", "--members", "encoder", "--epochs", "6", "--output-dir", output]
    return ["train", "--train", str(table), "--target", "ripe", *TINY, *more]


@pytest.fixture(scope="module")
def alone(table: Path) -> Path:
    """Folds that this machine has fitted without an engine."""
    return table.parent / run(table.parent, *fold_arguments(table, "alone"))["files"]["run"]


def predict_arguments(rows: Path, checkpoint: Path, output: str) -> list[str]:
    more = ["--proba", "--part-rows", "20", "--output", output]
    return ["predict", "--test", str(rows), "--checkpoint", str(checkpoint), *more]


def test_prediction_goes_on_after_a_kill_and_is_the_file_of_one_process(
    cluster: Cluster, rows: Path, alone: Path
) -> None:
    folder = rows.parent
    run(folder, *predict_arguments(rows, alone, "alone.csv"))
    spread = ["--engine", "ray", "--ray-address", cluster.address]
    arguments = [*predict_arguments(rows, alone, "answers"), *spread]
    killed = start(folder, *arguments)
    parts = folder / "answers"
    wait_until(lambda: len(list(parts.glob("part-*.json"))) >= 2, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    done = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.json")}
    assert len(done) < 200, "it was killed too late"
    again = run(folder, *arguments, "--merge", "merged.csv")
    assert (again["rows"], again["parts"]) == (4000, 200)
    assert again["resumed"] >= len(done)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert (folder / "merged.csv").read_bytes() == (folder / "alone.csv").read_bytes()


def test_folds_are_the_same_although_a_node_goes_away(
    cluster: Cluster, table: Path, alone: Path
) -> None:
    folder = table.parent
    arguments = [*fold_arguments(table, "spread"), "--engine", "ray", "--ray-address", cluster.address]  # fmt: skip
    process = start(folder, *arguments, "--json")
    # Both nodes fit a fold, and neither has ended.
    wait_until(lambda: len(list((folder / "spread").rglob("metrics.jsonl"))) >= 2, process)
    cluster.remove_node()
    spread = folder / conclude(process)["files"]["run"]
    answers = pl.read_parquet(spread / "oof.parquet")
    assert answers.equals(pl.read_parquet(alone / "oof.parquet"))


def test_a_task_that_no_node_has_room_for_is_refused(cluster: Cluster, table: Path) -> None:
    arguments = [*fold_arguments(table, "none"), "--engine", "ray", "--ray-address", cluster.address]  # fmt: skip
    process = start(table.parent, *arguments, "--task-cpus", "64")
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 2
    assert "each needs 64 CPU" in " ".join(said.split())
