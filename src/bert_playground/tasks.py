"""The tasks: name, heads, default metric, and what their labels are."""

from dataclasses import dataclass

from bert_playground.lookup import look_up


@dataclass(frozen=True)
class Task:
    """What kind of question a target asks.

    Attributes:
        head: answers it unless another is asked for.
        metric: beside the loss, what people look at first.
        is_classification: labels are classes, else numbers.
        has_many_targets: a row has several labels or numbers: usually one column for each.
        other_heads: those that can answer it too.
    """

    name: str
    head: str
    metric: str
    is_classification: bool
    has_many_targets: bool = False
    other_heads: tuple[str, ...] = ()


TASKS = {
    "binary": Task("binary", head="binary", metric="accuracy", is_classification=True),
    "multiclass": Task(
        "multiclass",
        head="multiclass",
        metric="accuracy",
        is_classification=True,
        other_heads=("ordinal",),
    ),
    "multilabel": Task(
        "multilabel",
        head="multilabel",
        metric="roc_auc",
        is_classification=True,
        has_many_targets=True,
    ),
    "ordinal": Task(
        "ordinal",
        head="ordinal",
        metric="quadratic_kappa",
        is_classification=True,
        other_heads=("multiclass",),
    ),
    "regression": Task("regression", head="regression", metric="rmse", is_classification=False),
    "timeseries": Task(
        "timeseries",
        head="timeseries",
        metric="rmse",
        is_classification=False,
        has_many_targets=True,
    ),
}


def choose_task_head(task: str, head_type: str | None) -> str:
    """The head for a task: the one asked for, where it can answer the task.

    A head that belongs to no task here is somebody's own, and is taken as it is.

    Raises:
        ValueError: the head answers another kind of question.
    """
    chosen = look_up(TASKS, task, "task")
    fitting = (chosen.head, *chosen.other_heads)
    if head_type is None:
        return chosen.head
    if head_type in {known.head for known in TASKS.values()} and head_type not in fitting:
        raise ValueError(
            f"head.type {head_type!r} cannot answer a {task} target; use {' or '.join(fitting)}, leave head.type out, "
            f"or ask another question with --task"
        )
    return head_type
