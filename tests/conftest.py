"""What all tests share: one process per core, a clean environment, no pictures, and a tiny table."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

# Before numpy and mlx are imported. Tests are spread over processes, and tiny layers gain nothing from threads.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
MOST_PROCESSES = 8
SLOW_FOLDERS = {"e2e", "integration"}
DRAW_CURVES = "bert_playground.training.callbacks.curves.draw_curves"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

settings.register_profile("ci", max_examples=15, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread folders of tests over the cores, unless `-n`, a single file, a debugger or `-s` says otherwise."""
    options = config.option
    is_settled = getattr(options, "numprocesses", 0) is not None  # `-n` was given, or no xdist
    if is_settled or "PYTEST_XDIST_WORKER" in os.environ:  # each process comes here too
        return
    is_watched = options.usepdb or options.trace or options.capture == "no"
    if any(Path(argument).is_dir() for argument in config.args) and not is_watched:
        options.numprocesses = min(_count_cores(), MOST_PROCESSES)
        options.dist = "loadfile"  # a file's fixtures are made once
        options.loadscopereorder = False


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_configure(config: pytest.Config) -> None:
    """Let property tests try few examples, and many where slow tests are asked for."""
    wants_slow = re.search(r"(?<!not )\bslow\b", config.option.markexpr)
    profile = os.environ.get("HYPOTHESIS_PROFILE", "thorough" if wants_slow else "ci")
    settings.load_profile(profile)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: SLOW_FOLDERS.isdisjoint(item.path.parts))


@pytest.fixture(scope="session", autouse=True)
def _no_pictures() -> Iterator[None]:
    """A run writes the beginning of a PNG instead of its curves, which take longer than a tiny training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DRAW_CURVES, lambda state, path, *_: path.write_bytes(PNG_SIGNATURE))
        yield


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
