"""Fixtures for all tests: a clean environment and a tiny table."""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own BERT_TRAINING__EPOCHS or LOGURU_LEVEL must not decide a test."""
    for name in os.environ:
        if name.startswith("BERT_") and "__" in name:
            monkeypatch.delenv(name)
    monkeypatch.delenv("LOGURU_LEVEL", raising=False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def passengers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny made-up table in Kaggle form: train.csv (48 rows) and test.csv (12 rows)."""
    folder = tmp_path_factory.mktemp("passengers")
    random = np.random.default_rng(0)
    lines = []
    for number in range(1, 61):
        sex = random.choice(["male", "female"])
        survived = int((sex == "female") != (random.random() < 0.1))
        age = "" if random.random() < 0.2 else f"{random.uniform(1, 70):.1f}"
        fare = random.uniform(5, 90)
        port = random.choice(["Cork", "Le Havre", "Southampton"])
        lines.append((f"{number},{sex},{age},{port},T{number // 2},{fare:.2f}", survived))
    head = "PassengerId,Sex,Age,Port,Ticket,Fare"
    train = [f"{head},Survived", *(f"{line},{label}" for line, label in lines[:48])]
    test = [head, *(line for line, _ in lines[48:])]
    (folder / "train.csv").write_text("\n".join(train) + "\n")
    (folder / "test.csv").write_text("\n".join(test) + "\n")
    return folder
