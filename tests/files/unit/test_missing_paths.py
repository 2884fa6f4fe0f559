"""A path that is not there is answered with what is: the nearest name, and a pattern with the newest that fits."""

import os
from pathlib import Path

import pytest

from bert_playground.config.read import find_source
from bert_playground.data.reading.table import read_table
from bert_playground.lookup import expand_pattern, name_neighbours
from bert_playground.models.hub_files import fetch_folder
from bert_playground.runs import WEIGHTS_NAME, find_checkpoint
from bert_playground.training.core.resume import STATE_NAME, find_resumable


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs that kept their best epoch, the first of them written last."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("run_1", "run_2")):
        folder = Path("output") / name / "checkpoints" / "best"
        folder.mkdir(parents=True)
        (folder / WEIGHTS_NAME).touch()
        os.utime(folder / WEIGHTS_NAME, (1000 - age, 1000 - age))
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    ["output/run_*", "output/*", "output/run_*/checkpoints/best", "output/run_?/checkpoints", "out*/run_*"],
)  # fmt: skip
def test_a_pattern_means_the_newest_checkpoint(here: Path, pattern: str) -> None:
    assert find_checkpoint(Path(pattern)) == Path("output/run_1/checkpoints/best")
    assert find_checkpoint(here / pattern) == here / "output/run_1/checkpoints/best"


def test_a_pattern_passes_over_what_holds_no_checkpoint(here: Path) -> None:
    Path("output/run_0").mkdir()
    assert find_checkpoint(Path("output/run_*")).parts[1] == "run_1"
    with pytest.raises(FileNotFoundError, match="none of output/run_0 holds a checkpoint"):
        find_checkpoint(Path("output/*_0"))


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("output/run_1/checkpoints/final", r"exist \(output/run_1/checkpoints holds best\)"),
        ("output/run_*/checkpoints/final", r"pattern \(output/run_\*/checkpoints holds best\)"),
        ("output/run_1/checkpoints/bst", "did you mean 'best'"),
        ("output/rnu_1", r"did you mean 'run_1'\? \(output holds run_1, run_2\)"),
        ("outptu/run_1/checkpoints/best", "did you mean 'output'"),
        (f"output/run_1/checkpoints/best/{WEIGHTS_NAME}", "give output/run_1/checkpoints/best"),
        (f"output/run_1/checkpoints/best/{WEIGHTS_NAME}/x", f"{WEIGHTS_NAME} is a file"),
    ],
)
def test_a_checkpoint_that_is_not_there_names_what_is(here: Path, path: str, hint: str) -> None:
    with pytest.raises(FileNotFoundError, match=hint):
        find_checkpoint(Path(path))


def test_another_place_altogether_has_no_neighbours(here: Path) -> None:
    assert name_neighbours("elsewhere/run_1/best") == ""
    assert expand_pattern(Path("elsewhere")) == []


def test_resume_takes_a_pattern_and_names_what_is_there(here: Path) -> None:
    step = Path("output/run_2/checkpoints/step_000003")
    step.mkdir()
    (step / STATE_NAME).touch()
    for path in ("output/run_*", "output/run_2", "output/run_2/checkpoints", str(step)):
        assert find_resumable(Path(path)) == step
    with pytest.raises(FileNotFoundError, match="did you mean 'run_1'"):
        find_resumable(Path("output/run1"))
    with pytest.raises(FileNotFoundError, match="no checkpoints/step_"):
        find_resumable(Path("output/*_1"))


def test_tables_configurations_and_models_name_what_is_there(here: Path) -> None:
    Path("data").mkdir()
    Path("data/train.parquet").touch()
    with pytest.raises(FileNotFoundError, match=r"did you mean 'train\.parquet'"):
        read_table("data/train.csv")
    with pytest.raises(FileNotFoundError, match=r"data holds train.parquet"):
        read_table("data/x-*.csv")
    with pytest.raises(FileNotFoundError, match="did you mean 'data'"):
        read_table("dat/train.csv")
    Path("mine.yaml").touch()
    with pytest.raises(FileNotFoundError, match=r"did you mean 'mine\.yaml'"):
        find_source("mien.yaml")
    with pytest.raises(FileNotFoundError, match="did you mean 'best'"):
        fetch_folder("output/run_1/checkpoints/bst")
    assert fetch_folder("output/run_*/checkpoints/best") == Path("output/run_2/checkpoints/best")
