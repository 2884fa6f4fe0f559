"""The official package, kept from its side effects."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bert_playground.data.kaggle.credentials import Credentials
from bert_playground.data.kaggle.official_api import check_endpoint, make_official_api
from tests.kaggle.fake_server import KEY, TOKEN, USER

SOMEBODY = Credentials("API key", "a test", USER, KEY)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaggle", None)
    monkeypatch.delitem(sys.modules, "kaggle.api", raising=False)
    with pytest.raises(
        ValueError, match=r"kaggle is not installed; pip install 'bert-playground\[kaggle\]'"
    ):
        make_official_api(SOMEBODY)


SIGN_IN = """
import socket, sys
from bert_playground.data.kaggle.credentials import Credentials
from bert_playground.data.kaggle.official_api import make_official_api
def refuse(*words): raise AssertionError("a connection was made")
socket.socket.connect = refuse
make_official_api(Credentials("API key", "a test", "ada", "key"))
"""


@pytest.mark.medium
def test_the_import_neither_prints_nor_connects_nor_writes(home: Path) -> None:
    """With a token about, the package would ask Kaggle while it is imported, and print how to sign in after that failed."""
    done = subprocess.run(
        [sys.executable, "-c", SIGN_IN],
        env={**os.environ, "KAGGLE_API_TOKEN": TOKEN, "VERBOSE": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    assert list(home.iterdir()) == []


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    before = dict(os.environ)
    make_official_api(SOMEBODY)
    assert dict(os.environ) == before


@pytest.mark.parametrize("address", ["kaggle.com", "ftp://a.b", "http://10.0.0.7:80", ""])
def test_addresses_that_get_no_secret(address: str) -> None:
    with pytest.raises(ValueError, match="KAGGLE_API_ENDPOINT"):
        check_endpoint(address)


@pytest.mark.parametrize("address", ["https://a.b/", "http://127.0.0.1:8000", "http://[::1]:80"])
def test_addresses_that_do(address: str) -> None:
    assert check_endpoint(address) == address.rstrip("/")
