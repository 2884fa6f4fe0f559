"""make_objective: one of the project's metrics as what a blend is to make better."""

from collections.abc import Callable
from functools import partial

from bert_playground.blending.objective import Objective, Score, proper_loss
from bert_playground.lookup import look_up
from bert_playground.tasks import TASKS
from bert_playground.training.metrics.metric import Array
from bert_playground.training.metrics.scorer import look_up_metric


def make_objective(
    task: str, metric: str | None = None, decode: Callable[[Array], Array] | None = None
) -> Objective:
    """The objective of a task.

    Args:
        task: a name in TASKS.
        metric: a name in METRICS, with or without "val_" before it; None: the task's own.
        decode: for numbers, from the model's standardised ones to the units of the target, in which the metric is.

    Raises:
        ValueError: no such task, or no such metric for it.
    """
    name = (metric or look_up(TASKS, task, "task").metric).removeprefix("val_")
    found = look_up_metric(name, task)
    compute: Score = found.compute
    if decode is not None and not TASKS[task].is_classification:
        compute = partial(_compute_decoded, found.compute, decode)
    return Objective(name, compute, found.higher_is_better, found.decides, task, proper_loss(task))


def _compute_decoded(
    compute: Score, decode: Callable[[Array], Array], labels: Array, scores: Array
) -> float:
    return compute(decode(labels), decode(scores))
