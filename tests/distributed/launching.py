"""A job of `bert launch` in processes of its own, so that tests can kill, stop and cut off its ranks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

BERT = (sys.executable, "-c", "from bert_playground.cli.app import main; main()")
LONGEST_SECONDS = 240.0
END_SECONDS = 20.0  # in which processes that were killed are gone
# A tiny model without dropout, whose steps on several ranks equal those on one.
TINY = (
    "--precision", "f32", "--logging-steps", "1", "--set", "model.hidden_size=32", "--set", "model.num_layers=1",
    "--set", "model.dropout=0.0", "--set", "head.dropout=0.0", "--set", "training.report=false",
)  # fmt: skip


def write_table(path: Path, num_rows: int = 150) -> Path:
    """A table whose target follows from a number and a word; texts differ in length."""
    words = ("alpha", "beta", "gamma", "delta", "epsilon")
    lines = ["color,size,note,label"]
    for i in range(num_rows):
        size, color = i * 37 % 100, ("red", "green", "blue")[i % 3]
        note = " ".join(words[(i + j) % 5] for j in range(1 + i % 4))
        lines.append(f"{color},{size},{note},{'yes' if (size > 50) != (color == 'red') else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def environment(**more: str) -> dict[str, str]:
    """Of a program that a test starts: one thread each, and nothing of the test's own terminal."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **more}


def wait_for_end(processes: Iterable[int]) -> None:
    """Until none of them is there; one whose parent is dead as well stays until the system has taken note."""
    deadline = time.monotonic() + END_SECONDS
    for process in processes:
        with suppress(ProcessLookupError):
            while True:
                os.kill(process, 0)
                assert time.monotonic() < deadline
                time.sleep(0.05)


class Launched:
    """`bert launch` at work."""

    def __init__(self, arguments: Sequence[str], folder: Path, **more: str) -> None:
        """Start it."""
        self.folder = folder
        self.errors = folder / "errors.txt"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*BERT, "launch", *arguments],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment(**more),
            )

    def ranks(self) -> dict[int, int]:
        """Rank → process, of those that run now."""
        found = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(None, 2) for line in found.stdout.splitlines()]
        shells = [pid for pid, parent, _ in rows if int(parent) == self.process.pid]
        return {
            shells.index(parent): int(pid)
            for pid, parent, command in rows
            if parent in shells and not command.startswith("/bin/sh")
        }

    def wait_for_steps(self, pattern: str = "output/run_*") -> None:
        """Until the run has taken steps."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not any(path.stat().st_size for path in self.folder.glob(f"{pattern}/metrics.jsonl")):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def signal_rank(self, rank: int, number: signal.Signals) -> None:
        """Send a signal to one rank."""
        os.kill(self.ranks()[rank], number)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(LONGEST_SECONDS)

    @property
    def said(self) -> str:
        """Its messages so far."""
        return self.errors.read_text(errors="replace")
