"""RunDir and atomic writes."""

import errno
import os
import time
from datetime import datetime
from pathlib import Path

import pytest

from bert_playground.runs import (
    RunDir,
    find_checkpoint,
    newest,
    remove_leftovers,
    replaced_directory,
    replaced_file,
    write_text,
)


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


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail() -> None:
        with replaced_file(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_directory_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "best"
    with replaced_directory(target) as temporary:
        (temporary / "a").write_text("old")

    def fail() -> None:
        with replaced_directory(target) as temporary:
            (temporary / "a").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="disk is full") as caught:
        fail()
    assert caught.value.filename == str(target)
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    def fail() -> None:
        with replaced_file(tmp_path / "a"):
            raise PermissionError(errno.EACCES, "not yours")

    with pytest.raises(PermissionError, match="not yours"):
        fail()


def test_leftovers_of_a_killed_process_are_cleared_and_a_replaced_folder_comes_back(
    tmp_path: Path,
) -> None:
    for name in (
        ".best.0a1b2c3d.partial",
        ".best.99999999.replaced",
        ".final.11111111.replaced",
        "final",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "from").write_text(name)
    (tmp_path / ".a.json.00000000.partial").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "final"]
    assert (tmp_path / "best" / "from").read_text() == ".best.99999999.replaced"
    assert (tmp_path / "final" / "from").read_text() == "final"
