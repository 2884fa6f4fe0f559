"""unpack_archive: an archive that is whole, but of a compression that Python does not know, is not called damaged."""

import shutil
import zipfile
from types import SimpleNamespace

import pytest

from bert_playground.data.kaggle.download import _unpack_or_discard
from bert_playground.data.kaggle.unpack import TooLargeError, unpack_archive


def test_an_unknown_compression_is_named_as_that(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.csv", "a,b\n1,2\n")
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[8] = content[central + 10] = 99  # the method, in the local and in the central header
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be unpacked here .*one by one with --file"):
        unpack_archive(path, tmp_path, most_bytes=1000)
    assert not (tmp_path / "train.csv").exists()


@pytest.mark.parametrize(("most_bytes", "free"), [(10, 2**40), (2**40, 10)])
def test_an_archive_that_is_too_large_is_kept(tmp_path, monkeypatch, most_bytes, free):
    path, folder = tmp_path / "data.zip", tmp_path / "unpacked"
    folder.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.csv", "a" * 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(TooLargeError):
        _unpack_or_discard(path, folder, most_bytes)
    assert path.is_file()
    assert not list(folder.iterdir())


def test_a_damaged_archive_is_discarded(tmp_path):
    path = tmp_path / "data.zip"
    path.write_bytes(b"PK, but no archive: --max-size")
    with pytest.raises(ValueError, match="damaged archive"):
        _unpack_or_discard(path, tmp_path, 1000)
    assert not path.exists()
