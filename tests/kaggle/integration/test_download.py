"""Downloads by the real client: complete or not there, resumed, checked, unpacked with care."""

import io
import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from tests.kaggle.fake_server import FakeKaggle, Fault, pack
from tests.kaggle.integration.test_wrong_states import refused, run

MIB = 2**20
FOLDER = Path("data/titanic")


def files_under(folder: Path) -> set[str]:
    """Names of all files, hidden ones included."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_everything_arrives_once(signed_in: FakeKaggle) -> None:
    assert run("download", "titanic").exit_code == 0
    assert {name: (FOLDER / name).read_bytes() for name in signed_in.files} == signed_in.files
    assert files_under(Path("data")) == {f"titanic/{name}" for name in signed_in.files}
    assert run("download", "titanic").stdout.startswith("0 files fetched, 3 were there")
    assert signed_in.methods().count("DownloadDataFiles") == 1


def test_a_download_that_was_broken_off_goes_on(signed_in: FakeKaggle) -> None:
    signed_in.files["train.csv"] = random.Random(0).randbytes(7 * MIB)
    signed_in.bundle = pack(signed_in.files)
    signed_in.faults["GET"] = Fault(cut_after=MIB + 1000)  # the client keeps whole MiB
    assert "goes on from there" in refused("download", "titanic")
    assert not FOLDER.exists()
    signed_in.ranges.clear()
    del signed_in.faults["GET"]
    assert run("download", "titanic").exit_code == 0
    assert signed_in.ranges[1:] == [f"bytes={6 * MIB}-"]
    assert {name: (FOLDER / name).read_bytes() for name in signed_in.files} == signed_in.files
    assert files_under(Path("data")) == {f"titanic/{name}" for name in signed_in.files}


def test_one_file_that_comes_packed(signed_in: FakeKaggle) -> None:
    signed_in.wrapped = {"train.csv"}
    assert run("download", "titanic", "--file", "train.csv").exit_code == 0
    assert files_under(Path("data")) == {"titanic/train.csv"}
    assert (FOLDER / "train.csv").read_bytes() == signed_in.files["train.csv"]
    assert "did you mean 'train.csv'" in refused("download", "titanic", "--file", "trian.csv")


def test_only_what_is_missing_is_fetched(signed_in: FakeKaggle) -> None:
    run("download", "titanic")
    (FOLDER / "test.csv").unlink()
    assert run("download", "titanic").stdout.startswith("1 file fetched, 2 were there")


def test_a_file_of_the_users_is_kept_unless_forced(signed_in: FakeKaggle) -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "train.csv").write_text("mine\n")
    assert "--force" in refused("download", "titanic")
    assert files_under(Path("data")) == {"titanic/train.csv"}
    assert run("download", "titanic", "--force").exit_code == 0
    assert (FOLDER / "train.csv").read_bytes() == signed_in.files["train.csv"]


def test_sizes_are_those_that_kaggle_lists(signed_in: FakeKaggle) -> None:
    signed_in.listed_sizes["test.csv"] = 9_999
    assert "test.csv has 653 of 9,999 bytes" in refused("download", "titanic")
    assert not FOLDER.exists()


@pytest.mark.parametrize(
    "name", ["../outside.csv", "/tmp/outside.csv", "a/../../outside.csv", "..\\outside.csv", "C:\\x.csv"]
)  # fmt: skip
def test_a_zip_that_leaves_its_folder(signed_in: FakeKaggle, name: str) -> None:
    signed_in.bundle = pack({**signed_in.files, name: b"x"})
    assert "would leave the folder" in refused("download", "titanic")
    assert not FOLDER.exists()
    assert not list(Path().rglob("*outside*"))
    assert not list(Path().rglob("*.zip"))


def test_a_link_in_a_zip(signed_in: FakeKaggle) -> None:
    content = io.BytesIO(pack(signed_in.files))
    with zipfile.ZipFile(content, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    signed_in.bundle = content.getvalue()
    assert "'link' is a link" in refused("download", "titanic")
    assert not FOLDER.exists()


def test_a_zip_bomb(signed_in: FakeKaggle) -> None:
    signed_in.bundle = pack({**signed_in.files, "zeros.csv": bytes(50_000_000)})
    said = refused("download", "titanic", "--max-size", "0.01")
    assert "the limit is 10,737,418 (0.01 GiB)" in said
    assert "--max-size" in said
    assert not FOLDER.exists()
    assert run("download", "titanic", "--max-size", "1").exit_code == 0
    assert (FOLDER / "zeros.csv").stat().st_size == 50_000_000


def test_a_bomb_that_lies_about_its_size(signed_in: FakeKaggle) -> None:
    packed = bytearray(pack({"zeros.csv": bytes(50_000_000)}))
    at = packed.index(b"PK\x01\x02")
    packed[at + 24 : at + 28] = struct.pack("<I", 1_000)
    signed_in.bundle = bytes(packed)
    assert "damaged" in refused("download", "titanic")
    assert not FOLDER.exists()
    assert not list(Path().rglob("zeros.csv"))


def test_a_damaged_archive_is_not_kept(signed_in: FakeKaggle) -> None:
    packed = bytearray(pack(signed_in.files))
    packed[60:90] = bytes(30)
    signed_in.bundle = bytes(packed)
    assert "damaged archive" in refused("download", "titanic")
    assert not FOLDER.exists()
    signed_in.bundle = None
    assert run("download", "titanic").exit_code == 0


def test_an_expired_address_of_the_storage(signed_in: FakeKaggle) -> None:
    signed_in.faults["GET"] = Fault(403, "Expired")
    refused("download", "titanic")
    assert not FOLDER.exists()


def test_a_file_that_lies_where_the_download_arrives(signed_in: FakeKaggle) -> None:
    parts = Path("data/.titanic.download/all")
    parts.mkdir(parents=True)
    (parts / "notes.txt").write_text("mine")
    said = refused("download", "titanic")
    assert f"should have left one file in {parts}, which holds" in said.replace("\n", " ")
    assert "notes.txt" in said
    assert (parts / "notes.txt").is_file()
