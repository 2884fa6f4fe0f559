"""Commands of `bert` on a cluster of Ray of two nodes on loopback, and the tables that they read."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

HAS_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra ray; .ci/ray has it"
)
TINY = [
    f"--set=model.{name}={value}"
    for name, value in {"hidden_size": 16, "num_layers": 1, "num_heads": 2}.items()
]
BERT = [
    sys.executable,
    "-c",
    "from bert_playground.cli.app import main\nif __name__ == '__main__': main()",
]
# Folders of fits. No ** and nothing hidden: a folder that is being renamed cannot be looked into.
FITS = "run_*/folds/repeat_*/fold_*/[!.]*"
LONG = 300.0
TOKEN = "0" * 64  # of another cluster, such as one of this machine has left: this one asks for none
_started: list["subprocess.Popen[str]"] = []


class Cluster:
    """Two nodes of one CPU each in a process of their own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Of a process that starts them."""
        self.process = process

    @classmethod
    @contextmanager
    def begin(cls, root: Path) -> Iterator["Cluster"]:
        """Start one, and end it after the block; nothing waits for its start before its address is asked for."""
        process = subprocess.Popen(
            [sys.executable, str(root / "tests/engines/e2e/two_nodes.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
        )
        try:
            yield cls(process)
        finally:
            for left in _started:  # by a test that failed
                if left.poll() is None:
                    left.kill()
                    left.communicate()
            process.communicate(timeout=LONG)

    @cached_property
    def address(self) -> str:
        """As host:port."""
        assert self.process.stdout is not None
        found = re.fullmatch(r"address (\S+)\n", self.process.stdout.readline())
        assert found is not None, "the cluster did not start"
        return found[1]

    @property
    def spread(self) -> list[str]:
        """Flags of a command that uses it."""
        return ["--engine", "ray", "--ray-address", self.address]

    def remove_node(self) -> None:
        """Kill all processes of the second node."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "removed\n"


def write_table(path: Path) -> None:
    """400 rows, whose target follows from a colour."""
    _fruit().write_csv(path)


def write_rows(path: Path) -> None:
    """Ten times the table without its target, to predict."""
    pl.concat([_fruit().drop("ripe")] * 10).with_row_index("number").write_csv(path)


def _fruit() -> pl.DataFrame:
    random = np.random.default_rng(3)
    colour = random.choice(["green", "red", "yellow"], 400)
    size = random.uniform(1, 9, 400).round(2)
    frame = pl.DataFrame({"id": range(400), "colour": colour, "size": size})
    return frame.with_columns(ripe=np.where(colour == "green", "no", "yes"))


def fold_arguments(output: str) -> list[str]:
    """Two folds of train.csv."""
    more = ["--folds", "2", "--members", "encoder", "--epochs", "16", "--output-dir", output]
    more += ["--set", "training.early_stopping_patience=0"]
    return ["train", "--train", "train.csv", "--target", "ripe", *TINY, *more]


def predict_arguments(checkpoint: Path, output: str) -> list[str]:
    """100 parts of rows.csv."""
    more = ["--proba", "--part-rows", "40", "--output", output]
    return ["predict", "--test", "rows.csv", "--checkpoint", str(checkpoint), *more]


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command of `bert` in a process of its own."""
    process = subprocess.Popen(
        [*BERT, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "RAY_AUTH_TOKEN": TOKEN},
    )
    _started.append(process)
    return process


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """What a command gives as JSON."""
    return conclude(start(folder, *arguments, "--json"))


def conclude(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The same of one that was started with `--json`."""
    output, said = process.communicate(timeout=LONG)
    assert process.returncode == 0, said
    return json.loads(output)


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """While the process runs."""
    deadline = time.monotonic() + LONG
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
