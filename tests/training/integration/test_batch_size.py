"""--batch-size auto and --find-lr in whole runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from bert_playground.logger import logger
from bert_playground.training import run_training
from bert_playground.training.cross_validation.cross_validate import run_cross_validation
from bert_playground.training.ensembles import train_ensemble
from bert_playground.training.find_learning_rate import NUM_STEPS, find_learning_rate
from bert_playground.training.pretraining import run_pretraining

AUTO: dict[str, Any] = {"training.batch_size": "auto", "training.epochs": 1}


@pytest.mark.medium
def test_auto_is_the_run_of_its_number_to_the_last_bit(make_config, tmp_path: Path) -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]))
    run = run_training(make_config(**AUTO)).run_dir
    logger.remove(sink)
    values = json.loads(run.config.read_text())["values"]
    assert values["training"]["batch_size"] == 8  # 96 rows are at least 8 batches
    assert json.loads(run.config.read_text())["command"] == "train"
    assert any(each.startswith("batch size: 8 rows, a step takes") for each in said)
    known = make_config(**AUTO | {"training.batch_size": 8, "training.output_dir": tmp_path / "8"})
    for folder in ("final", "best"):
        ours, theirs = (
            getattr(each, folder) / "model.safetensors"
            for each in (run, run_training(known).run_dir)
        )
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.medium
def test_each_member_of_an_ensemble_settles_its_own(make_config) -> None:
    run = train_ensemble(make_config(**AUTO, **{"ensemble.num_models": 2})).run_dir
    for member in run.members():
        values = json.loads(member.config.read_text())["values"]
        assert values["training"]["batch_size"] == 8


@pytest.mark.parametrize(
    ("train", "settings"),
    [(run_pretraining, {}), (run_cross_validation, {"cross_validation.folds": 3})],
)
def test_auto_is_refused_where_nothing_settles_it(make_config, train, settings) -> None:
    with pytest.raises(ValueError, match="batch_size auto is settled by `bert train`"):
        train(make_config(**AUTO, **settings))


@pytest.mark.medium
def test_a_range_test_leaves_a_picture_and_nothing_else(make_config, tmp_path: Path) -> None:
    found = find_learning_rate(make_config())
    (run,) = (tmp_path / "output").iterdir()
    assert [path.name for path in run.iterdir()] == ["learning_rates.png"]
    assert found.picture == run / "learning_rates.png"
    assert found.picture.read_bytes()[:4] == b"\x89PNG"
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= NUM_STEPS
    assert found.suggestion is not None
    assert 1e-5 < found.suggestion < 1


def test_a_range_test_of_a_bad_table_leaves_nothing(make_config, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_learning_rate(make_config(**{"data.train": tmp_path / "missing.csv"}))
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"cross_validation.folds": 3}, "--folds"),
        ({"ensemble.num_models": 2}, "--ensemble"),
        ({"training.batch_size": "auto"}, "--batch-size auto"),
    ],
)
def test_a_range_test_is_of_one_encoder(make_config, settings, named: str) -> None:
    with pytest.raises(ValueError, match=f"leave out {named}"):
        find_learning_rate(make_config(**settings))
