"""Files that the user named: links, pipes, stdout, and what is read."""

import os
import stat
import threading
from pathlib import Path

import pytest

from bert_playground.outputs import is_stdout, open_output, refuse_inputs, write_output


def test_the_target_of_a_link_is_written_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_output(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(OSError, match="failed"):
        _fail_within(target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def _fail_within(target: Path) -> None:
    with open_output(target) as file:
        file.write(b"new")
        raise OSError("failed")


def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b"bytes")
    reader.join(10)
    assert read == [b"bytes"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_stdout_is_written_as_it_is(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert is_stdout(Path(name))
    write_output(Path(name), b"bytes")
    assert capfdbinary.readouterr().out == b"bytes"


@pytest.mark.parametrize("other", ["same.csv", "link.csv", "hard.csv"])
def test_what_is_read_is_not_overwritten(tmp_path: Path, other: str) -> None:
    table = tmp_path / "same.csv"
    table.write_text("a\n1\n")
    (tmp_path / "link.csv").symlink_to(table)
    (tmp_path / "hard.csv").hardlink_to(table)
    with pytest.raises(ValueError, match="would overwrite the table that is read"):
        refuse_inputs(tmp_path / other, [None, table])
    refuse_inputs(tmp_path / "new.csv", [table])
