"""Keys, loopback, and where a key comes from."""

from pathlib import Path

import pytest

from bert_playground.serving.request_error import hide_paths
from bert_playground.serving.security import API_KEY_VARIABLE, is_loopback, read_api_key


def test_only_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.com")))


def test_a_key_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    assert read_api_key(None) is None
    monkeypatch.setenv(API_KEY_VARIABLE, "from-outside")
    assert read_api_key(None) == "from-outside"
    path = tmp_path / "key"
    path.write_text("from-a-file\n")
    assert read_api_key(path) == "from-a-file"


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe\x00a key of bytes")
    with pytest.raises(ValueError, match="openssl rand"):
        read_api_key(path)
    with pytest.raises(ValueError, match="openssl rand"):
        read_api_key(Path("/dev/zero"))


@pytest.mark.parametrize("key", ["tiny1", "with a blank", "ünicode-key", "a" * 7, "a" * 1025])
def test_a_key_that_no_header_carries_is_refused_and_not_said(tmp_path: Path, key: str) -> None:
    path = tmp_path / "file"
    path.write_text(key, encoding="utf-8")
    with pytest.raises(ValueError, match="openssl rand") as caught:
        read_api_key(path)
    assert key not in str(caught.value)


def test_of_paths_the_last_part_stays() -> None:
    said = "/a/b c/base is no /x/y/base.json, nor 'A/5 21' or and/or; see /docs and 1/2/3"
    expected = "base is no base.json, nor 'A/5 21' or and/or; see /docs and 1/2/3"
    assert hide_paths(said, Path("/a/b c")) == expected
