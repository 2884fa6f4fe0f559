"""What else is asked of Ray, on a cluster of two nodes on loopback: commands that were killed go on, workers that die are replaced, members and trials."""

import os
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from tests.engines.on_ray import (
    FITS,
    HAS_RAY,
    LONG,
    Cluster,
    conclude,
    fold_arguments,
    predict_arguments,
    run,
    start,
    wait_until,
)

pytestmark = [pytest.mark.slow, HAS_RAY]
STEPS = f"{FITS}/checkpoints/step_*/model.safetensors"


def test_folds_go_on_after_the_command_was_killed(
    cluster: Cluster, folder: Path, alone: Path
) -> None:
    killed = start(folder, *fold_arguments("killed"), *cluster.spread)
    wait_until(lambda: any((folder / "killed").glob(STEPS)), killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (begun,) = (folder / "killed").glob("run_*")
    assert not (begun / "oof.parquet").exists(), "it was killed too late"
    run(folder, "train", "--resume", str(begun), *cluster.spread)
    answers = pl.read_parquet(begun / "oof.parquet")
    assert answers.equals(pl.read_parquet(alone / "oof.parquet"))


def test_a_worker_that_is_killed_is_replaced(cluster: Cluster, folder: Path, alone: Path) -> None:
    run(folder, *predict_arguments(alone, "alone.csv"))
    process = start(
        folder, *predict_arguments(alone, "answers"), *cluster.spread, "--merge", "m.csv", "--json"
    )
    wait_until(lambda: any((folder / "answers").glob("part-*.json")), process)
    found = find_workers(cluster)
    assert found, "no actor runs"
    for worker in found:
        os.kill(worker, signal.SIGKILL)
    conclude(process)
    assert (folder / "m.csv").read_bytes() == (folder / "alone.csv").read_bytes()


def test_workers_that_die_again_and_again_end_the_command(
    cluster: Cluster, folder: Path, alone: Path
) -> None:
    process = start(folder, *predict_arguments(alone, "never"), *cluster.spread)
    deadline = time.monotonic() + LONG
    while process.poll() is None:
        assert time.monotonic() < deadline
        for worker in find_workers(cluster):
            os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
    _, said = process.communicate()
    assert process.returncode == 2, said
    assert "and so did the one that tried again" in " ".join(said.split())


def find_workers(cluster: Cluster) -> list[int]:
    """Actors of the cluster that answer parts, as Ray names its processes."""
    rows = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    table = [row.split(None, 2) for row in rows]
    parents = {int(pid): int(parent) for pid, parent, *_ in table}
    nodes = {pid for pid, parent in parents.items() if parent == cluster.process.pid}
    return [
        int(pid)
        for pid, parent, *name in table
        if int(parent) in nodes and "".join(name).startswith("ray::MapWorker(MapBatches(LoadedOnce")
    ]


def test_members_and_trials_are_spread(cluster: Cluster, folder: Path) -> None:
    more = ["--train", "train.csv", "--target", "ripe", "--epochs", "1", *cluster.spread]
    members = run(folder, "train", *more, "--ensemble", "2", "--output-dir", "members")
    assert len(members["members"]) == 2
    trials = run(folder, "tune", *more, "--trials", "2", "--output-dir", "trials")
    assert trials["concluded"]


def test_a_task_that_no_node_has_room_for_is_refused(cluster: Cluster, folder: Path) -> None:
    process = start(folder, *fold_arguments("none"), *cluster.spread, "--task-cpus", "64")
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 2
    assert "each needs 64 CPU" in " ".join(said.split())
