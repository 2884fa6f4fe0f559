"""bert launch: two ranks learn what one does on the same batches; whoever is lost ends the job, which goes on from its checkpoint."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from tests.distributed.launching import (
    BERT,
    TINY,
    Launched,
    environment,
    wait_for_end,
    write_table,
)

pytestmark = pytest.mark.slow
SUMMED_IN_ANOTHER_ORDER = 1e-5
# What a job may take from the loss of a rank to its end.
PROMISED_SECONDS = 60.0


def run_bert(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*BERT, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )


def train(folder: Path, output: str, *launched: str, rows: int, more: tuple[str, ...] = ()) -> Path:
    """The folder of a run of two epochs, on 120 training rows."""
    prefix = ("launch", *launched) if launched else ()
    done = run_bert(
        folder, *prefix, "train", "--train", "table.csv", "--output-dir", output, "--epochs", "2",
        "--batch-size", str(rows), *TINY, *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (folder / output).glob("run_*")
    return run


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] if "loss" in record else record["val_loss"] for record in records]


def check_equal(one: Path, other: Path, kept: str = "final") -> None:
    """The same losses, in training and validation, and the same weights."""
    np.testing.assert_allclose(losses(one), losses(other), atol=SUMMED_IN_ANOTHER_ORDER)
    weights = [
        mx.load(str(run / "checkpoints" / kept / "model.safetensors")) for run in (one, other)
    ]
    for name, value in weights[0].items():
        np.testing.assert_allclose(
            np.array(value), np.array(weights[1][name]), atol=SUMMED_IN_ANOTHER_ORDER, err_msg=name
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("launch")
    write_table(path / "table.csv")
    return path


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    return train(folder, "alone", rows=32)


@pytest.fixture(scope="module")
def together(folder: Path) -> Path:
    return train(folder, "together", "-n", "2", rows=16)


def test_two_ranks_equal_one_with_twice_the_batch(alone: Path, together: Path) -> None:
    check_equal(together, alone)
    assert json.loads((together / "config.json").read_text())["ranks"] == 2
    assert {path.name for path in together.iterdir()} == {path.name for path in alone.iterdir()}


def test_a_step_is_shared_however_it_is_accumulated(folder: Path, alone: Path) -> None:
    # 3 ranks do not divide 2 x 16 rows evenly: 6 of the first half, 5 of the rest, and 120 rows leave a last step of 24.
    run = train(
        folder, "accumulated", "-n", "2", rows=8, more=("--set", "training.gradient_accumulation_steps=2")
    )  # fmt: skip
    assert len(losses(run)) == len(losses(alone))
    np.testing.assert_allclose(losses(run)[0], losses(alone)[0], atol=0.2)  # batches of other rows


def test_the_refit_on_all_rows_is_shared_too(folder: Path) -> None:
    alone = train(folder, "refit_alone", rows=32, more=("--refit",))
    together = train(folder, "refit_together", "-n", "2", rows=16, more=("--refit",))
    check_equal(together, alone, "refit")


@pytest.mark.parametrize("ranks", [0, 3])
def test_a_run_goes_on_with_another_number_of_ranks(
    folder: Path, together: Path, ranks: int, tmp_path: Path
) -> None:
    copy = tmp_path / together.name
    shutil.copytree(together, copy)
    (copy / "summary.json").unlink()
    last = sorted((copy / "checkpoints").glob("step_*"))[-1]
    shutil.rmtree(last)  # the run was stopped in its second epoch
    prefix = ["launch", "-n", str(ranks)] if ranks else []
    done = run_bert(folder, *prefix, "train", "--resume", str(copy))
    assert done.returncode == 0, done.stderr
    check_equal(copy, together)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Launched]:
    """A run of two ranks that takes its steps."""
    write_table(tmp_path / "table.csv")
    job = Launched(
        ["-n", "2", "--timeout", "5", "train", "--train", "table.csv", "--epochs", "5000", "--batch-size", "4",
         "--set", "training.early_stopping_patience=0", "--set", "checkpoint.save_steps=1", *TINY],
        tmp_path,
    )  # fmt: skip
    try:
        job.wait_for_steps()
        yield job
    finally:
        job.process.kill()
        job.process.wait()


@pytest.mark.parametrize(
    ("rank", "number", "named"),
    [
        (0, signal.SIGKILL, "rank 0 on this machine was ended by SIGKILL"),
        (1, signal.SIGKILL, "rank 1 on this machine was ended by SIGKILL"),
        (0, signal.SIGSTOP, "rank 0 on this machine did not answer; it was killed"),
        (1, signal.SIGSTOP, "rank 1 has not been heard of for 5 s"),
    ],
)
def test_a_lost_rank_ends_the_job_and_says_how_to_go_on(
    endless: Launched, rank: int, number: signal.Signals, named: str
) -> None:
    processes = endless.ranks()
    started = time.monotonic()
    os.kill(processes[rank], number)
    assert endless.wait() == 1, endless.said
    assert time.monotonic() - started < PROMISED_SECONDS
    assert named in endless.said
    (run,) = (endless.folder / "output").glob("run_*")
    assert endless.said.splitlines()[-1] == (
        f"go on with: bert launch -n 2 --timeout 5 train --resume output/{run.name}"
    )
    wait_for_end(processes.values())


@pytest.mark.parametrize("of_rank", [None, 1])
def test_one_wish_to_stop_saves_and_stops_all(endless: Launched, of_rank: int | None) -> None:
    if of_rank is None:
        endless.process.send_signal(signal.SIGINT)
    else:
        endless.signal_rank(of_rank, signal.SIGTERM)
    assert endless.wait() == 130
    (run,) = (endless.folder / "output").glob("run_*")
    assert (
        f"saved; go on with: bert launch -n 2 --timeout 5 train --resume output/{run.name}"
        in endless.said
    )


def test_the_launcher_takes_its_ranks_along(endless: Launched) -> None:
    processes = endless.ranks()
    endless.process.kill()
    endless.process.wait()
    wait_for_end(processes.values())


def test_pretraining_is_shared_too(folder: Path) -> None:
    done = run_bert(
        folder, "launch", "-n", "2", "pretrain", "--train", "table.csv", "--epochs", "1", "--batch-size", "16",
        "--output-dir", "pretrained", *TINY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "pretrained").glob("run_*")
    assert (run / "checkpoints" / "best" / "model.safetensors").is_file()


def test_what_is_not_one_model_is_refused(folder: Path) -> None:
    done = run_bert(folder, "launch", "-n", "2", "train", "--train", "table.csv", "--folds", "3")
    assert done.returncode == 2
    assert "bert launch cannot do this: cross_validation.folds" in done.stderr
