"""A fake Kaggle on this machine, and an environment that knows no other."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kaggle.fake_server import KEY, USER, FakeKaggle, serve

TRAIN = "PassengerId,Survived,Sex,Age,Fare,Ticket,Cabin,Pclass,Name\n" + "".join(
    f"{i},{(i * 7 % 10) < 4 + 0},{'female' if i % 3 else 'male'},{20 + i % 30},{5 + i % 17},T{i // 2},,{1 + i % 3},Name {i}\n".replace(
        "True", "1"
    ).replace("False", "0")
    for i in range(1, 61)
)
TEST = "PassengerId,Sex,Age,Fare,Ticket,Cabin,Pclass,Name\n" + "".join(
    f"{i},{'female' if i % 3 else 'male'},{20 + i % 30},{5 + i % 17},T{i // 2},,{1 + i % 3},Name {i}\n"
    for i in range(61, 81)
)
SAMPLE = "PassengerId,Survived\n" + "".join(f"{i},{i % 2}\n" for i in range(61, 81))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of the test's own, without credentials."""
    for name in list(os.environ):
        if name.startswith("KAGGLE_") or name.lower().endswith("_proxy") or name == "VERBOSE":
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited between tries; it does not."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    """The server, with a small Titanic."""
    files = {
        "train.csv": TRAIN.encode(),
        "test.csv": TEST.encode(),
        "gender_submission.csv": SAMPLE.encode(),
    }
    with serve(FakeKaggle(files)) as server:
        monkeypatch.setenv("KAGGLE_API_ENDPOINT", server.url)
        yield server


@pytest.fixture
def signed_in(kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch) -> FakeKaggle:
    """The same, and the credentials are in the environment."""
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    return kaggle
