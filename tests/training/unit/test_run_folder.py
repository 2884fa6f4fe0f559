"""Which kind of run `--resume` means, also of one that was stopped before it had done anything."""

import json
from pathlib import Path

import pytest

from bert_playground.config import load_config
from bert_playground.runs import RunDir
from bert_playground.training import run_training
from bert_playground.training.run_folder import is_cross_validated
from bert_playground.training.start import write_run_config


@pytest.mark.parametrize(
    ("folds", "inside", "expected"),
    [
        (5, "", True),
        (None, "", False),
        (5, "folds", True),
        (5, "summary.json", False),
        (None, "checkpoints/step_000001", False),
    ],
)
def test_a_run_over_folds_is_known_by_its_folder_or_its_configuration(
    tmp_path: Path, folds: int | None, inside: str, expected: bool
) -> None:
    run = tmp_path / "run_1"
    (run / inside).mkdir(parents=True)
    values = {"cross_validation": {"folds": folds}}
    (run / "config.json").write_text(json.dumps({"values": values}))
    assert is_cross_validated(run) == expected
    assert is_cross_validated(tmp_path / "run_*") == expected


def test_what_is_not_there_has_no_folds(tmp_path: Path) -> None:
    assert not is_cross_validated(tmp_path / "nowhere")


def test_a_run_whose_table_is_not_found_is_not_thrown_away(tmp_path: Path) -> None:
    config, _ = load_config({"data": {"train": str(tmp_path / "elsewhere.csv"), "target": "y"}}, {})
    run = RunDir.create(tmp_path)
    write_run_config(run, config, {}, "train")
    with pytest.raises(FileNotFoundError):
        run_training(config, resume=run.path)
    assert run.config.is_file()
