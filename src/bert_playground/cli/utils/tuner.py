"""find_tuner: who tries settings for a run over folds, if Optuna is installed; it is loaded when its turn has come."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_playground.training.cross_validation.members import Member
    from bert_playground.training.cross_validation.schedule import Schedule, Tuner


def find_tuner() -> "Tuner | None":
    """For `run_cross_validation`; None: Optuna is missing."""
    from bert_playground.extras import missing_modules

    return None if missing_modules("hpo") else _tune


def _tune(schedule: "Schedule", member: "Member") -> list[dict[str, Any]]:
    from bert_playground.tuning.member import tune_member

    return tune_member(schedule, member)
