"""bert tune as a person types it: what is refused, what is printed, and a study that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bert_playground.cli.app import app

TINY = "model.hidden_size=16 model.num_layers=1 model.num_heads=2 model.vocab_size=200 training.use_compilation=false"
SETTINGS = [word for setting in TINY.split() for word in ("--set", setting)]


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("model.dropout: {low: 0.0, high: 0.4}\ntraining.epochs: {low: 2, high: 3}\n")
    return path


def test_a_wrong_name_and_a_wrong_range_are_named(passengers, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "optimizer.learning_rat: {low: 1e-4, high: 1e-3}\nmodel.dropout: {low: 0, high: 7}\n"
    )
    found = run(
        "tune",
        "--train",
        passengers / "train.csv",
        "--space",
        path,
        "--output-dir",
        tmp_path / "out",
    )
    assert found.exit_code == 2
    assert "did you mean 'optimizer.learning_rate'?" in found.stderr
    assert "model.dropout = 7" in found.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["tune", "automl"])
def test_the_default_space_is_shown_as_a_file_that_is_read(passengers, tmp_path, command):
    found = run(command, "--train", passengers / "train.csv", "--show-space")
    assert found.exit_code == 0, found.stderr
    path = tmp_path / "space.yaml"
    path.write_text(found.stdout)
    again = run(
        "tune", "--train", passengers / "train.csv", "--space", path, "--show-space", "--json"
    )
    assert json.loads(again.stdout)["optimizer.learning_rate"]["relative"]


def test_a_study_that_goes_on_keeps_its_space(passengers, space, tmp_path):
    found = run("tune", "--resume", tmp_path, "--space", space)
    assert found.exit_code == 2
    assert "keeps its space" in found.stderr


@pytest.mark.slow
def test_a_killed_study_goes_on_and_loses_the_running_trial_alone(passengers, space, tmp_path):
    words = [sys.executable, "-c", "from bert_playground.cli.app import main; main()", "tune"]
    words += [
        "--train",
        str(passengers / "train.csv"),
        "--space",
        str(space),
        "--trials",
        "4",
        "--seeds",
        "2",
    ]
    words += ["--aside", "0.65", "--output-dir", str(tmp_path), *SETTINGS]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(words, stderr=file, stdout=file, env=dict(os.environ))
        deadline = time.monotonic() + 120
        while "trial 1" not in log.read_text() and "trial 2" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (folder,) = tmp_path.glob("run_*")
    found = run("tune", "--resume", folder, "--json")
    assert found.exit_code == 0, found.stderr
    summary = json.loads(found.stdout)
    killed = [each for each in summary["trials"] if each["reason"] == "the process was killed"]
    assert len(killed) <= 1
    assert len(summary["trials"]) - len(killed) >= 4
    assert Path(summary["files"]["best"]).is_file()
