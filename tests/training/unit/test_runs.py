"""RunDir: names, and which checkpoint is meant."""

import os
import time
from datetime import datetime
from pathlib import Path

import pytest

from bert_playground.runs import RunDir, find_checkpoint, newest


def make_checkpoint(folder: Path, age: float = 0) -> Path:
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.touch()
    os.utime(weights, (time.time() - age,) * 2)
    return folder


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 21, 19, 30, 5)
    runs = [RunDir.create(tmp_path, moment).path.name for _ in range(3)]
    assert runs == ["run_20261121_193005", "run_20261121_193005_2", "run_20261121_193005_3"]


def test_a_checkpoint_knows_its_run(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path)
    assert RunDir.of_checkpoint(run.at_step(5)) == RunDir(run.path.resolve())
    assert RunDir.of_checkpoint(run.path) == RunDir(run.path.resolve())


def test_the_newest_of_several_checkpoints_is_the_last_written(tmp_path: Path) -> None:
    paths = [
        make_checkpoint(tmp_path / f"run_{n}" / "checkpoints" / "final", age)
        for n, age in enumerate([9, 1, 5])
    ]
    assert newest(paths) == paths[1]


def test_a_run_folder_means_its_best_checkpoint(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path)
    make_checkpoint(run.at_step(10))
    make_checkpoint(run.at_step(20))
    assert find_checkpoint(run.path) == run.at_step(20)
    assert find_checkpoint(str(run.path)) == run.at_step(20)  # paths are often text
    make_checkpoint(run.final)
    assert find_checkpoint(run.path) == run.final
    make_checkpoint(run.best)
    assert find_checkpoint(run.path) == run.best


def test_a_folder_without_weights_is_refused_and_its_content_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"found notes\.txt"):
        find_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="is a file"):
        find_checkpoint(tmp_path / "notes.txt")


def test_a_name_of_the_hub_is_answered_with_the_command_that_fetches_it() -> None:
    with pytest.raises(FileNotFoundError, match="of the Hub: bert model pull ada/titanic"):
        find_checkpoint(Path("ada/titanic"))
