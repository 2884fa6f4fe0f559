"""unpack_archive: an archive that is whole, but of a compression that Python does not know, is not called damaged."""

import zipfile

import pytest

from bert_playground.data.kaggle.unpack import unpack_archive


def test_an_unknown_compression_is_named_as_that(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.csv", "a,b\n1,2\n")
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    content[8] = content[central + 10] = 99  # the method, in the local and in the central header
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be unpacked here"):
        unpack_archive(path, tmp_path, most_bytes=1000)
    assert not (tmp_path / "train.csv").exists()
