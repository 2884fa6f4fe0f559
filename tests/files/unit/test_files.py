"""Files appear complete or not at all."""

import errno
import resource
from pathlib import Path

import mlx.core as mx
import pytest

from bert_playground.files import (
    replaced_directory,
    replaced_file,
    restored_on_failure,
    save_arrays,
    write_text,
)


@pytest.fixture
def _small_files():
    """No file of this process may grow beyond a mebibyte, as if the disk ended there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_small_files")
def test_arrays_that_do_not_fit_leave_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    save_arrays(target, {"a": mx.zeros(4)}, {"format": "pt"})
    with pytest.raises(OSError, match=str(target)) as caught:
        save_arrays(target, {"a": mx.zeros(2**20)})
    assert caught.value.errno == errno.EFBIG
    assert mx.load(str(target))["a"].shape == (4,)
    assert list(tmp_path.iterdir()) == [target]


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


def test_a_folder_whose_names_cannot_be_synced_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "best"
    target.mkdir()
    (target / "a").write_text("old")

    def refuse(path: Path) -> None:
        if path == tmp_path:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("bert_playground.files.sync", refuse)
    for each in (target, tmp_path / "new"):
        with pytest.raises(OSError, match="Input/output"), replaced_directory(each) as temporary:
            (temporary / "a").write_text("new")
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_comes_back_where_what_follows_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "config.json"
    target.write_text("old")

    def fail() -> None:
        with restored_on_failure(target):
            write_text(target, "new")
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        fail()
    assert target.read_text() == "old"
    with restored_on_failure(target):
        write_text(target, "new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
