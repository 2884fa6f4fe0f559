"""Metrics of several labels by name: f1_micro, f1_macro, roc_auc, exact_match, log_loss and more; labels are [N, L]."""

from collections.abc import Sequence

import numpy as np

from bert_playground.training.metrics import scikit_metrics as sk
from bert_playground.training.metrics.metric import Array, Metric

TASKS = ("multilabel",)


def present(scores: Array) -> Array:
    """Which labels are there: from 0.5 on."""
    return np.asarray(scores >= 0.5).astype(np.int64)


def accuracy(labels: Array, scores: Array) -> float:
    """The part of all single labels that is right."""
    return float((labels == present(scores)).mean())


def exact_match(labels: Array, scores: Array) -> float:
    """The part of the rows all of whose labels are right."""
    return float((labels == present(scores)).all(axis=1).mean())


def f1_micro(labels: Array, scores: Array) -> float:
    """F1 over all labels of all rows together."""
    return float(sk.f1_score(labels, present(scores), average="micro", zero_division=0))


def f1_macro(labels: Array, scores: Array) -> float:
    """The mean over labels of each one's F1."""
    return float(sk.f1_score(labels, present(scores), average="macro", zero_division=0))


def roc_auc(labels: Array, scores: Array) -> float:
    """The mean over labels of the area under each one's ROC curve."""
    return float(np.mean(roc_auc_each(labels, scores)))


def roc_auc_each(labels: Array, scores: Array) -> list[float]:
    """The area under the ROC curve of each label.

    Raises:
        ValueError: a label that all rows have, or none.
    """
    shares = labels.mean(axis=0)
    constant = np.flatnonzero((shares == 0) | (shares == 1))
    if len(constant):
        raise ValueError(f"all rows agree on label {', '.join(map(str, constant.tolist()))}")
    return [
        float(sk.roc_auc_score(labels[:, label], scores[:, label]))
        for label in range(labels.shape[1])
    ]


def average_precision(labels: Array, scores: Array) -> float:
    """The mean over labels of the area under each one's precision-recall curve."""
    if (labels.sum(axis=0) == 0).any():
        raise ValueError("no row has some of the labels")
    return float(sk.average_precision_score(labels, scores, average="macro"))


def log_loss(labels: Array, scores: Array) -> float:
    """The mean negative log-probability of each single label, in f64, with probabilities of 0 held at 1e-15."""
    scores = scores.astype(np.float64)
    right = np.where(labels == 1, scores, 1 - scores)
    return float(0.0 - np.log(np.clip(right, 1e-15, 1.0)).mean())


def report_each(labels: Array, scores: Array, names: Sequence[str]) -> dict[str, float]:
    """The ROC-AUC of each label by its name; labels on which all rows agree are left out."""
    values = {}
    for label, name in enumerate(names):
        if len(np.unique(labels[:, label])) == 2:
            values[f"roc_auc {name}"] = float(sk.roc_auc_score(labels[:, label], scores[:, label]))
    return values


MULTILABEL = {
    "roc_auc": Metric(roc_auc, higher_is_better=True, tasks=TASKS),
    "f1_micro": Metric(f1_micro, higher_is_better=True, tasks=TASKS, decides=True),
    "f1_macro": Metric(f1_macro, higher_is_better=True, tasks=TASKS, decides=True),
    "accuracy": Metric(accuracy, higher_is_better=True, tasks=TASKS, decides=True),
    "exact_match": Metric(exact_match, higher_is_better=True, tasks=TASKS, decides=True),
    "average_precision": Metric(average_precision, higher_is_better=True, tasks=TASKS),
    "log_loss": Metric(log_loss, higher_is_better=False, tasks=TASKS),
}
