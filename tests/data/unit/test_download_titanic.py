"""The download script: the competition's form from OpenML's, and exit code 2 when nothing can be reached."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "download_titanic.py"
HEADER = "pclass,survived,name,sex,age,sibsp,parch,ticket,fare,cabin,embarked,boat,body,home.dest\n"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("download_titanic", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def openml_file(folder: Path) -> Path:
    rows = [
        f'{i % 3 + 1},{i % 2},"Name{i}, Mr. A",male,{i % 60},0,0,{i},7.25,?,S,?,?,"X, Y"\n'
        for i in range(1309)
    ]
    path = folder / "openml.csv"
    path.write_text(HEADER + "".join(rows))
    return path


def call(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["download_titanic.py", *arguments])
    return int(script.main())


def without_credentials(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder / "nowhere"))


def test_passengers_take_the_form_of_the_competition(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setattr(script, "OPENML_URL", openml_file(tmp_path).as_uri())
    target = tmp_path / "data" / "titanic"
    assert call(script, monkeypatch, "--output", str(target)) == 0
    train, test, sample = (pl.read_csv(target / name) for name in script.COMPETITION_FILES)
    assert (train.height, test.height, sample.height) == (891, 418, 418)
    assert train.columns[:3] == ["PassengerId", "Survived", "Pclass"]
    assert test.columns == [name for name in train.columns if name != "Survived"]
    assert train["Cabin"].null_count() == 891
    assert sorted([*train["PassengerId"], *test["PassengerId"]]) == list(range(1, 1310))
    assert sample["PassengerId"].to_list() == test["PassengerId"].to_list()
    assert [entry.name for entry in target.parent.iterdir()] == ["titanic"]


def test_nothing_reachable_is_exit_code_2_and_leaves_nothing(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setattr(script, "OPENML_URL", (tmp_path / "absent.csv").as_uri())
    target = tmp_path / "data" / "titanic"
    assert call(script, monkeypatch, "--output", str(target)) == 2
    said = capsys.readouterr().err
    assert "Kaggle: no credentials" in said
    assert "OpenML:" in said
    assert "what to do" in said
    assert list(target.parent.iterdir()) == []


def test_files_that_are_there_are_kept(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.csv").write_text("mine")
    assert call(script, monkeypatch, "--output", str(tmp_path)) == 0
    assert (tmp_path / "train.csv").read_text() == "mine"
