"""weights_from_labels: class weights and priors derived from the training labels."""

from typing import Any

import numpy as np

from bert_playground.config.schema import HeadSection
from bert_playground.lookup import shorten
from bert_playground.tasks import TASKS, choose_task_head

Array = np.ndarray[Any, Any]
BALANCED = "balanced"


def weights_from_labels(
    section: HeadSection, task: str, names: tuple[str, ...], labels: Array
) -> dict[str, Any]:
    """The fields of HeadConfig that need the training labels.

    Args:
        section: what was asked.
        task: a name in TASKS.
        names: of the classes or labels, in the order of their numbers.
        labels: of the training rows, [R] or [R, L].

    Raises:
        ValueError: weights for a task without classes, of another number, or for classes without rows.
    """
    head_type = choose_task_head(task, section.type)
    _check_fit(section, task, names)
    class_weights: Any = section.class_weights
    if class_weights == BALANCED:
        class_weights = balance_classes(labels, names)
    pos_weight: Any = section.pos_weight
    if pos_weight == BALANCED:
        pos_weight = balance_labels(labels, names)
    options = {"class_weights": class_weights, "pos_weight": pos_weight}
    if head_type == "ordinal":
        # Cut-points move as slowly as all weights; they begin where the (weighted) classes lie.
        counts = np.bincount(labels.astype(np.int64), minlength=len(names)) * np.asarray(
            class_weights or 1.0
        )
        options["class_priors"] = tuple((counts / counts.sum()).tolist())
    return options


def balance_classes(labels: Array, names: tuple[str, ...]) -> tuple[float, ...]:
    """Rows / (classes * rows of the class): each class counts the same in all, and a row 1 on average.

    Raises:
        ValueError: classes without rows.
    """
    counts = np.bincount(labels.astype(np.int64), minlength=len(names))
    _need_rows(counts, names)
    return tuple((len(labels) / (len(names) * counts)).tolist())


def balance_labels(labels: Array, names: tuple[str, ...]) -> tuple[float, ...]:
    """Rows without a label / rows with it, for each label: both sides count the same.

    Raises:
        ValueError: labels that no row has.
    """
    present = labels.sum(axis=0)
    _need_rows(present, names)
    return tuple(((len(labels) - present) / present).tolist())


def _need_rows(counts: Array, names: tuple[str, ...]) -> None:
    empty = [str(name) for name, count in zip(names, counts, strict=True) if count == 0]
    if empty:
        raise ValueError(
            f"no training row has {shorten(empty)}, so it cannot be balanced; give weights as a list instead"
        )


def _check_fit(section: HeadSection, task: str, names: tuple[str, ...]) -> None:
    wrong = []
    has_classes = TASKS[task].is_classification and not TASKS[task].has_many_targets
    if section.class_weights is not None and not has_classes:
        instead = "use head.pos_weight" if task == "multilabel" else "leave it out"
        wrong.append(f"head.class_weights is for classes, but the task is {task}; {instead}")
    if section.pos_weight is not None and task != "multilabel":
        instead = "use head.class_weights" if has_classes else "leave it out"
        wrong.append(
            f"head.pos_weight is for multilabel targets, but the task is {task}; {instead}"
        )
    if section.adaptive_threshold and task != "multilabel":
        wrong.append(f"head.adaptive_threshold is for multilabel targets, but the task is {task}")
    if section.uncertainty_estimation and task != "regression":
        wrong.append(f"head.uncertainty_estimation is for regression, but the task is {task}")
    for key in ("class_weights", "pos_weight"):
        values = getattr(section, key)
        if values not in (None, BALANCED) and names and len(values) != len(names):
            wrong.append(
                f"head.{key} has {len(values)} numbers, but the target has {len(names)}: {shorten(map(str, names))}"
            )
    if wrong:
        raise ValueError("; ".join(wrong))
