"""SIGTERM and SIGHUP save like Ctrl-C, in every command that trains, and leave 143 and 129."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_playground.runs import RunDir
from bert_playground.training import run_training

BERT = [sys.executable, "-c", "from bert_playground.cli.app import main; main()"]
TINY = [
    "--batch-size",
    "16",
    "--epochs",
    "5000",
    "--precision",
    "f32",
    "--no-compile",
    "--set",
    "model.hidden_size=16",
    "--set",
    "model.num_layers=1",
    "--set",
    "model.num_heads=2",
    "--set",
    "model.vocab_size=200",
    "--set",
    "training.early_stopping_patience=0",
]


def train(
    command: str, fruit: Path, output: Path, *more: str, **options: object
) -> subprocess.Popen:
    arguments = [command, "--train", str(fruit), "--output-dir", str(output), *TINY, *more]
    if command == "train":
        arguments += ["--target", "ripe", "--max-length", "32"]
    return subprocess.Popen(
        [*BERT, *arguments], **{"stderr": subprocess.PIPE, "text": True, **options}
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_started(output: Path, pattern: str = "run_*/metrics.jsonl") -> Callable[[], object]:
    return lambda: any(path.stat().st_size for path in output.glob(pattern))


def only_run(output: Path) -> RunDir:
    (path,) = output.iterdir()
    return RunDir(path)


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)],
)
def test_a_signal_saves_and_says_how_to_go_on(
    fruit: Path, tmp_path: Path, make_config, signum: int, code: int
) -> None:
    process = train("train", fruit, tmp_path / "runs")
    wait_for(has_started(tmp_path / "runs"), process)
    process.send_signal(signum)
    process.send_signal(signum)  # as `timeout` does: to the process and to its group
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    run = only_run(tmp_path / "runs")
    assert f"stopped by {signal.Signals(signum).name}" in told
    assert f"saved; go on with: bert train --resume {run.path}" in told
    step = int(run.resumable()[-1].name.removeprefix("step_"))
    more = make_config(**{"training.max_steps": step + 1})
    resumed = run_training(more, {"training.max_steps": "flag"}, resume=run.path)
    assert resumed.summary["steps"] == step + 1


@pytest.mark.medium
def test_a_signal_before_training_leaves_no_empty_run_behind(fruit: Path, tmp_path: Path) -> None:
    pipe = (
        tmp_path / "train.csv"
    )  # reading it waits for a writer, so the run is still reading its table
    os.mkfifo(pipe)
    process = train("train", pipe, tmp_path / "runs")
    wait_for(lambda: (tmp_path / "runs").is_dir(), process)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143, told
    assert "stopped by SIGTERM" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_nohup_still_means_that_a_hangup_changes_nothing(fruit: Path, tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = train("train", fruit, tmp_path, "--max-steps", "60", preexec_fn=ignore)
    wait_for(has_started(tmp_path), process)
    process.send_signal(signal.SIGHUP)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert (only_run(tmp_path).final / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_closed_terminal_does_not_keep_a_run_from_saving(fruit: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = train(
        "train", fruit, tmp_path, stdin=slave, stdout=slave, stderr=slave, preexec_fn=take_terminal
    )
    os.close(slave)

    def read_and_look() -> bool:
        os.set_blocking(master, False)
        with contextlib.suppress(BlockingIOError):
            os.read(master, 2**16)
        return bool(has_started(tmp_path)())

    wait_for(read_and_look, process)
    os.close(master)  # the terminal is gone: SIGHUP for its processes
    assert process.wait(timeout=60) == 129
    assert (only_run(tmp_path).resumable()[-1] / "state.json").is_file()


@pytest.mark.slow
def test_pretraining_saves_too(fruit: Path, tmp_path: Path) -> None:
    process = train("pretrain", fruit, tmp_path, "--unlabeled")
    wait_for(has_started(tmp_path), process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143, told
    run = only_run(tmp_path)
    assert f"saved; go on with: bert pretrain --resume {run.path}" in told
    assert (run.resumable()[-1] / "state.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jobs", "signum", "is_for_group"),
    [
        (1, signal.SIGTERM, False),
        (2, signal.SIGTERM, False),
        (2, signal.SIGTERM, True),
    ],
)
def test_folds_save_in_every_process(
    fruit: Path, tmp_path: Path, jobs: int, signum: int, is_for_group: bool
) -> None:
    folds = f"--folds 2 --members encoder --jobs {jobs}".split()
    process = train("train", fruit, tmp_path, *folds, start_new_session=True)
    begun = "run_*/folds/repeat_0/fold_*/encoder/metrics.jsonl"
    wait_for(
        lambda: len(list(tmp_path.glob(begun))) == jobs and has_started(tmp_path, begun)(), process
    )
    if is_for_group:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, told
    run = only_run(tmp_path)
    assert f"saved; go on with: bert train --resume {run.path}" in told
    assert "Traceback" not in told
    saved = list(run.fold_fits.glob("repeat_0/fold_*/encoder/checkpoints/step_*/state.json"))
    assert len({path.parents[3] for path in saved}) == jobs


@pytest.mark.slow
def test_a_member_of_an_ensemble_saves_too(fruit: Path, tmp_path: Path) -> None:
    process = train("train", fruit, tmp_path, "--ensemble", "2")
    wait_for(has_started(tmp_path, "run_*/members/run_*/metrics.jsonl"), process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 143, told
    (member,) = only_run(tmp_path).members()
    assert f"saved; go on with: bert train --resume {member.path}" in told
    assert (member.resumable()[-1] / "state.json").is_file()
