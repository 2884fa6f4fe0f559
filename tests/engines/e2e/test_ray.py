"""A real cluster of Ray with two nodes on loopback: folds while one node goes away, prediction after a kill, against this process alone."""

import signal
from pathlib import Path

import polars as pl
import pytest

from tests.engines.on_ray import (
    FITS,
    HAS_RAY,
    Cluster,
    conclude,
    fold_arguments,
    predict_arguments,
    run,
    start,
    wait_until,
)

pytestmark = [pytest.mark.slow, HAS_RAY]


def test_folds_are_the_same_although_a_node_goes_away(
    cluster: Cluster, folder: Path, alone: Path
) -> None:
    process = start(folder, *fold_arguments("spread"), *cluster.spread, "--json")
    # Both nodes fit a fold, and neither has ended.
    wait_until(lambda: len(list((folder / "spread").glob(f"{FITS}/metrics.jsonl"))) >= 2, process)
    cluster.remove_node()
    spread = folder / conclude(process)["files"]["run"]
    begun = [log.read_text().count(": fitted on ") for log in spread.glob("folds/**/train.log")]
    assert sorted(begun) == [1, 2], "no fold was lost with the node"
    answers = pl.read_parquet(spread / "oof.parquet")
    assert answers.equals(pl.read_parquet(alone / "oof.parquet"))


def test_prediction_goes_on_after_a_kill_and_is_the_file_of_one_process(
    cluster: Cluster, folder: Path, alone: Path
) -> None:
    arguments = [*predict_arguments(alone, "answers"), *cluster.spread]
    killed = start(folder, *arguments)
    parts = folder / "answers"
    run(folder, *predict_arguments(alone, "alone.csv"))
    wait_until(lambda: len(list(parts.glob("part-*.json"))) >= 2, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    done = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.json")}
    assert len(done) < 100, "it was killed too late"
    again = run(folder, *arguments, "--merge", "merged.csv")
    assert (again["rows"], again["parts"]) == (4000, 100)
    assert again["resumed"] >= len(done)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert (folder / "merged.csv").read_bytes() == (folder / "alone.csv").read_bytes()
