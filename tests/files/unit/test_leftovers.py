"""What dead processes left is removed; what living ones write is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from bert_playground import leftovers
from bert_playground.files import write_text
from bert_playground.leftovers import name_leftover, sweep_folder


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by(process: int, target: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its leftover."""
    with monkeypatch.context() as patch:
        patch.setattr(leftovers.os, "getpid", lambda: process)
        return name_leftover(target, what)


def test_a_later_write_sweeps(tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.csv"
    old, own = left_by(dead, target, "partial", monkeypatch), name_leftover(target, "partial")
    old.touch()
    own.touch()
    write_text(target, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.csv", own.name])


def test_a_folder_is_swept_with_those_in_it(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    left_by(dead, tmp_path / "curves.png", "partial", monkeypatch).touch()
    left_by(dead, tmp_path / "checkpoints" / "best", "partial", monkeypatch).mkdir()
    older = left_by(dead, tmp_path / "checkpoints" / "final", "replaced", monkeypatch)
    older.mkdir()
    (older / "weights").touch()
    sweep_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    assert (tmp_path / "checkpoints" / "final" / "weights").exists()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_those_of_another_machine_stay(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(leftovers.socket, "gethostname", lambda: "elsewhere")
        other = left_by(dead, tmp_path / "a.csv", "partial", patch)
    other.touch()
    sweep_folder(tmp_path)
    assert other.exists()


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
    sweep_folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5  # of an earlier version nobody knows whose they are
    sweep_folder(tmp_path, is_ours=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "final"]
    assert (tmp_path / "best" / "from").read_text() == ".best.99999999.replaced"
    assert (tmp_path / "final" / "from").read_text() == "final"
