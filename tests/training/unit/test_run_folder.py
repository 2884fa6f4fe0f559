"""Which kind of run `--resume` means, also of one that was stopped before it had done anything."""

import json
from pathlib import Path

import pytest

from bert_playground.training.run_folder import is_cross_validated


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
