"""Jobs in several processes: who waits for what at their end."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bert_playground.engines.local_processes import LocalProcesses
from bert_playground.signals import Stopped, nothing_to_save

LONG = 60.0


@pytest.fixture(autouse=True)
def _workers_find_this_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes get the paths of this one, and import the functions below by name."""
    monkeypatch.syspath_prepend(root)


def work(job: tuple[Path, float]) -> int:
    """Say that the job runs, and take a while; a worker that is stopped says so."""
    path, seconds = job
    path.touch()
    try:
        time.sleep(seconds)
    except Stopped:
        path.with_suffix(".saved").touch()
        raise
    return os.getpid()


def work_in_library(job: tuple[Path, float]) -> int:
    """As a library does that gives Python no chance to handle a signal."""
    with nothing_to_save():
        return work(job)


def jobs_of(folder: Path) -> list[tuple[Path, float]]:
    """A short one and a long one."""
    return [(folder / "short", 0.0), (folder / "long", LONG)]


def stop_while_reading(function: Callable[[tuple[Path, float]], int], folder: Path) -> float:
    """Stop at the first result while the second job runs; the seconds until both processes have ended."""
    started = 0.0
    with (
        suppress(KeyboardInterrupt),
        closing(LocalProcesses(2).run(function, iter(jobs_of(folder)))) as done,
    ):
        for _ in done:
            while not (folder / "long").exists():
                time.sleep(0.05)
            started = time.perf_counter()
            raise KeyboardInterrupt
    assert started, "no result came"
    return time.perf_counter() - started


@pytest.mark.slow
def test_who_stops_reading_stops_the_others_which_save(tmp_path: Path) -> None:
    assert stop_while_reading(work, tmp_path) < LONG / 2
    assert (tmp_path / "long.saved").exists()


@pytest.mark.slow
def test_a_worker_with_nothing_to_save_ends_at_once(tmp_path: Path) -> None:
    assert stop_while_reading(work_in_library, tmp_path) < LONG / 2
    assert not (tmp_path / "long.saved").exists()


@pytest.mark.slow
def test_ctrl_c_reaches_workers_that_still_import_as_the_other_process_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C goes to the whole group: a worker that has not yet come to its first line must not end by a traceback."""

    def press() -> None:
        time.sleep(0.3)  # both are started, and import
        for process in _children():
            os.kill(process, signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        list(LocalProcesses(2).run(work, iter(jobs_of(tmp_path))))
    assert "Traceback" not in capfd.readouterr().err


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]
