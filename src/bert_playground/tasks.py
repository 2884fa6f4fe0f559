"""The tasks: name, head, default metric, and whether labels are classes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What kind of question a target column asks."""

    name: str
    head: str
    metric: str
    is_classification: bool


TASKS = {
    "binary": Task("binary", head="binary", metric="accuracy", is_classification=True),
    "multiclass": Task("multiclass", head="multiclass", metric="accuracy", is_classification=True),
    "regression": Task("regression", head="regression", metric="rmse", is_classification=False),
}
