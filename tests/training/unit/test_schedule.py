"""Schedule: what there is time for."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bert_playground.config.load import load_config
from bert_playground.runs import RunDir
from bert_playground.training.cross_validation.budget import Budget
from bert_playground.training.cross_validation.members import Member
from bert_playground.training.cross_validation.schedule import Schedule

PUPIL = Member("encoder_pseudo", is_encoder=True, teacher="encoder")
ENCODER = Member("encoder", is_encoder=True)
BOOSTING, LIGHTGBM = (Member(name, is_encoder=False) for name in ("boosting", "lightgbm"))


def make_schedule(left: float, fitted: dict[str, list[float]]) -> Schedule:
    """Of a hundred seconds, of which so many may still go into fitting."""
    budget = Budget(100.0, time.perf_counter() - (93.0 - left))
    config, _ = load_config(None, {}, {"cross_validation.folds": 5})
    members = (ENCODER, BOOSTING, LIGHTGBM)
    folds = SimpleNamespace(folds=())
    return Schedule(RunDir(Path()), config, {}, folds, members, budget, fitted=fitted)


@pytest.mark.parametrize(
    ("member", "fitted", "left", "has_time"),
    [
        (ENCODER, {}, 1.0, False),  # nothing is begun that cannot learn anything
        (ENCODER, {"encoder": [20.0] * 4}, 1.0, True),  # four folds would be for nothing
        (ENCODER, {"encoder": [20.0] * 4}, -3.0, False),
        (BOOSTING, {"boosting": [20.0] * 4}, 10.0, False),  # it cannot stop before it is done
        (LIGHTGBM, {"lightgbm": [20.0] * 4}, 10.0, True),
    ],
)
def test_the_last_fold_of_what_was_begun_may_use_the_grace(
    member: Member, fitted: dict, left: float, has_time: bool
) -> None:
    schedule = make_schedule(left, fitted)
    assert schedule._has_time(member, 1) is has_time
    assert (member.name in schedule.skipped) is not has_time


def test_who_learns_from_answers_is_left_out_where_nobody_answered(tmp_path: Path) -> None:
    schedule = make_schedule(50.0, {})
    schedule.members = (ENCODER, PUPIL)
    schedule.run = RunDir(tmp_path)
    fold = SimpleNamespace(repeat=0, number=0)
    schedule.folds = SimpleNamespace(folds=(fold,), assignments=[None])
    assert list(schedule._jobs_of_pupils()) == []
    assert schedule.skipped == {
        "encoder_pseudo": "encoder, whose answers it learns from, has not all folds"
    }
    folder = schedule.run.fold_fit(0, 0, "encoder")
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    assert schedule._has_teacher(PUPIL, 0)
