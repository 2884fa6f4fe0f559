"""What all tests share: one process per core, a clean environment, no pictures, no reports, and a tiny table."""

import gc
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# Before numpy and mlx are imported. Tests are spread over processes, and tiny layers gain nothing from threads.
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Else each process that a test starts would compile all it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np
import pytest
from hypothesis import settings
from typer import testing

from bert_playground.runs import RunDir

sys.dont_write_bytecode = False  # nor does this one, each time
gc.disable()  # until all tests are collected: nothing that they are made of is garbage
gc.set_threshold(20_000, 20, 20)

ROOT = Path(__file__).parents[1]
MOST_PROCESSES = 8
SLOW_FOLDERS = {"e2e", "integration"}
LOST_PARAMETERS = pytest.StashKey[dict[str, set[str]]]()
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

settings.register_profile("ci", max_examples=15, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the long fuzzers run and with which seeds, and at how many changes the disk fails."""
    group = parser.getgroup("bert-playground")
    group.addoption(
        "--fuzz-seconds", type=float, default=150.0, help="time of each fuzzer under -m slow"
    )
    group.addoption("--fuzz-seed", type=int, default=0, help="the first seed of each")
    group.addoption(
        "--disk-step",
        type=int,
        default=7,
        help="each so many changes the disk fails, under -m slow",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread folders of tests over the cores, unless `-n`, a single file, a benchmark, a debugger or `-s` says otherwise."""
    options = config.option
    is_settled = getattr(options, "numprocesses", 0) is not None  # `-n` was given, or no xdist
    if is_settled or "PYTEST_XDIST_WORKER" in os.environ:  # each process comes here too
        return
    is_timed = _asks_for("benchmark", config)
    is_watched = options.usepdb or options.trace or options.capture == "no"
    if any(Path(argument).is_dir() for argument in config.args) and not (is_timed or is_watched):
        options.numprocesses = min(_count_cores(), MOST_PROCESSES)
        options.dist = "loadfile"  # a file's fixtures are made once
        options.loadscopereorder = False


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_configure(config: pytest.Config) -> None:
    """Let property tests try few examples, and many where slow tests are asked for."""
    profile = "thorough" if _asks_for("slow", config) else "ci"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", profile))


def _asks_for(marker: str, config: pytest.Config) -> bool:
    return re.search(rf"(?<!not )\b{marker}\b", config.option.markexpr) is not None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `quick_for` leaves out, and put long files first, so that no process is left alone with one at the end."""
    config.stash[LOST_PARAMETERS] = _leave_other_parameters(items)
    items.sort(key=lambda item: SLOW_FOLDERS.isdisjoint(item.path.parts))


def _leave_other_parameters(items: list[pytest.Item]) -> dict[str, set[str]]:
    """Mark tests as medium whose parameters are not among those that `quick_for` names; gives names that no test has."""
    lost: dict[str, set[str]] = {}
    for item in items:
        quick = item.get_closest_marker("quick_for")
        if quick is None:
            continue
        test, _, parameters = item.nodeid.removesuffix("]").partition("[")
        lost.setdefault(test, set(quick.args)).discard(parameters)
        if parameters not in quick.args:
            item.add_marker("medium")
    return {test: names for test, names in lost.items() if names}


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what thousands of collected tests are made of."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_pictures() -> Iterator[Callable[..., None]]:
    """A run writes the beginning of a PNG instead of its curves, which take half as long as a tiny training.

    So does a calibration, whose picture takes the import of matplotlib.
    """
    from bert_playground.training.callbacks import curves
    from bert_playground.training.evaluation import reliability_plot

    original = curves.draw_curves
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((curves, "draw_curves"), (reliability_plot, "draw_reliability")):
            patch.setattr(module, name, _write_signature)
        yield original


def _write_signature(_: object, path: Path, *then: object) -> None:
    path.write_bytes(PNG_SIGNATURE)
    for each in then:
        if callable(each):
            each()


@pytest.fixture(scope="session", autouse=True)
def _one_command() -> Iterator[None]:
    """The program's commands are built from their signatures once, as in a shell, not at each call of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_get_command", cache(testing._get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def _paths_once() -> Iterator[None]:
    """loguru asks for the folders of the interpreter at each sink that is added, for 12 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sysconfig, "get_path", cache(sysconfig.get_path))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Nothing that a test writes has to outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def _few_rounds() -> Iterator[None]:
    """Boosting makes 12 trees instead of 250, where it is not asked how well it learns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bert_playground.tabular.estimators.ROUNDS", 12)
        yield


@pytest.fixture
def _real_pictures(_no_pictures: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves are drawn all the same."""
    monkeypatch.setattr("bert_playground.training.callbacks.curves.draw_curves", _no_pictures)


@pytest.fixture(scope="session", autouse=True)
def _no_reports() -> Iterator[Callable[..., bool]]:
    """A run writes the beginning of a page instead of its report, which would answer its rows once more."""
    from bert_playground.training.report import conclude

    original = conclude.write_late

    def begin(run: RunDir, *_: object, **__: object) -> bool:
        return bool(run.report_path.write_text("<!doctype html>"))

    conclude.write_late = begin
    yield original
    conclude.write_late = original


@pytest.fixture
def _real_reports(_no_reports: Callable[..., bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written all the same."""
    monkeypatch.setattr("bert_playground.training.report.conclude.write_late", _no_reports)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own BERT_TRAINING__EPOCHS or LOGURU_LEVEL must not decide a test."""
    for name in os.environ:
        if name.startswith("BERT_") and "__" in name:
            monkeypatch.delenv(name)
    monkeypatch.delenv("LOGURU_LEVEL", raising=False)


@pytest.fixture(scope="session")
def lost_parameters(pytestconfig: pytest.Config) -> dict[str, set[str]]:
    """Test → names in its `quick_for` that are none of its parameters, of what was collected."""
    return pytestconfig.stash[LOST_PARAMETERS]


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
