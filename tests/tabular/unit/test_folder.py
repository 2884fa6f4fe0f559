"""Folders of models beside the encoder: damaged, foreign and hostile ones are refused in one line."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from bert_playground.inference import Predictor
from bert_playground.runs import find_checkpoint
from bert_playground.tabular import TabularPredictor, fit_tabular
from tests.tabular.tables import make_fitted


class Hostile:
    """Would run code, were it a pickle."""

    def __init__(self) -> None:
        self.command = "rm"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train, pipeline = make_fitted("binary", 40)
    folder = tmp_path_factory.mktemp("saved") / "model"
    fit_tabular("linear", pipeline, train).save(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, **changed: Any) -> None:
    """Change estimator.json as somebody who knows the format would."""
    path = folder / "estimator.json"
    values = json.loads(path.read_text()) | changed
    values["sha256"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in values["sha256"]
    }
    path.write_text(json.dumps(values))


@pytest.mark.medium
def test_a_run_folder_may_hold_it(folder: Path) -> None:
    assert find_checkpoint(folder) == folder
    folder.rename(folder.parent / "best")
    run = folder.parent / "run"
    (run / "checkpoints").mkdir(parents=True)
    (folder.parent / "best").rename(run / "checkpoints" / "best")
    assert find_checkpoint(run) == run / "checkpoints" / "best"


def test_nothing_in_the_folder_is_a_pickle(folder: Path) -> None:
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".skops"}


@pytest.mark.parametrize("name", ["model_0.skops", "features.json"])
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{name} in .* is not what was saved there"):
        TabularPredictor.load(folder)
    rewrite(folder)
    with pytest.raises(
        ValueError, match=f"{name} (cannot be read: it is no skops file|is not valid JSON)"
    ):
        TabularPredictor.load(folder)


@pytest.mark.parametrize("name", ["model_0.skops", "features.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {name}"):
        TabularPredictor.load(folder)


@pytest.mark.parametrize("model", [Hostile(), KNeighborsClassifier(), np.random.default_rng])
def test_types_that_are_not_listed_are_not_read(folder: Path, model: Any) -> None:
    import skops.io  # takes seconds, which processes of other tests need not wait for

    skops.io.dump({"inside": [model]}, folder / "model_0.skops")
    rewrite(folder)
    with pytest.raises(
        ValueError,
        match=r"holds types that are not trusted: .*(Hostile|KNeighbors|cython_function)",
    ):
        TabularPredictor.load(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 7}, "has format 7, expected 1"),
        ({"estimator": "forest"}, "unknown estimator 'forest'"),
        ({"outputs": [{"num_classes": 2}]}, "was changed"),
        ({"task": "regression"}, "answers regression, but its pipeline.json asks binary"),
        ({"versions": None}, "was changed"),
    ],
)
def test_a_changed_description_is_refused(folder: Path, changed: dict[str, Any], said: str) -> None:
    rewrite(folder, **changed)
    with pytest.raises(ValueError, match=said):
        TabularPredictor.load(folder)


def test_libraries_that_differ_are_said_where_the_model_cannot_be_read(folder: Path) -> None:
    (folder / "model_0.skops").write_bytes(b"no zip")
    rewrite(folder, versions={"scikit-learn": "0.1"})
    with pytest.raises(ValueError, match=r"saved with scikit-learn 0\.1, here is"):
        TabularPredictor.load(folder)


def test_a_checkpoint_is_asked_for_where_it_has_no_encoder(folder: Path) -> None:
    with pytest.raises(ValueError, match="is a model beside the encoder"):
        Predictor.load(folder)


def test_another_folder_is_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no estimator\.json"):
        TabularPredictor.load(tmp_path)
