"""Classification metrics by name, on scikit-learn: accuracy, f1, roc_auc, log_loss and more."""

from typing import Any

import numpy as np

from bert_playground.training.metrics import scikit_metrics as sk
from bert_playground.training.metrics.metric import Array, Metric

BOTH = ("binary", "multiclass")


def predicted_classes(scores: Array) -> Array:
    """The most probable class: class 1 from P = 0.5 on when scores are [N], else the largest of each row."""
    return (scores >= 0.5).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)


def accuracy(labels: Array, scores: Array) -> float:
    """The part of the rows that is right."""
    return float(sk.accuracy_score(labels, predicted_classes(scores)))


def balanced_accuracy(labels: Array, scores: Array) -> float:
    """The mean over classes of the part that is right."""
    # Written out: scikit-learn warns when a class is predicted that no label has.
    hits = predicted_classes(scores) == labels
    return float(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))


def f1(labels: Array, scores: Array) -> float:
    """F1 of class 1, or the mean over classes when there are more than two."""
    return float(sk.f1_score(labels, predicted_classes(scores), **_averaging(scores)))


def f1_macro(labels: Array, scores: Array) -> float:
    """The unweighted mean of each class's F1."""
    return float(sk.f1_score(labels, predicted_classes(scores), average="macro", zero_division=0))


def precision(labels: Array, scores: Array) -> float:
    """Precision of class 1, or the mean over classes."""
    return float(sk.precision_score(labels, predicted_classes(scores), **_averaging(scores)))


def recall(labels: Array, scores: Array) -> float:
    """Recall of class 1, or the mean over classes."""
    return float(sk.recall_score(labels, predicted_classes(scores), **_averaging(scores)))


def matthews(labels: Array, scores: Array) -> float:
    """Matthews' correlation coefficient."""
    return float(sk.matthews_corrcoef(labels, predicted_classes(scores)))


def roc_auc(labels: Array, scores: Array) -> float:
    """Area under the ROC curve; with more than two classes the mean of one class against the rest."""
    if scores.ndim == 1:
        _need_classes(labels, range(2))
        return float(sk.roc_auc_score(labels, scores))
    _need_classes(labels, range(scores.shape[1]))
    parts = [
        sk.roc_auc_score(labels == label, scores[:, label]) for label in range(scores.shape[1])
    ]
    return float(np.mean(parts))


def average_precision(labels: Array, scores: Array) -> float:
    """Area under the precision-recall curve of class 1, or the mean over classes."""
    if scores.ndim == 1:
        _need_classes(labels, (1,))
        return float(sk.average_precision_score(labels, scores))
    _need_classes(labels, range(scores.shape[1]))
    parts = [
        sk.average_precision_score(labels == label, scores[:, label])
        for label in range(scores.shape[1])
    ]
    return float(np.mean(parts))


def quadratic_kappa(labels: Array, scores: Array) -> float:
    """Cohen's kappa with quadratic weights, for classes whose numbers are an order: 1 is perfect, 0 is chance."""
    if scores.ndim == 1:
        raise ValueError("two classes have no distance; look at matthews")
    return kappa_of(labels, predicted_classes(scores), scores.shape[1])


def kappa_of(labels: Array, chosen: Array, num_classes: int) -> float:
    """Quadratic kappa of chosen classes.

    Raises:
        ValueError: a single class on both sides.

    Reference: Cohen 1968, Psychological Bulletin 70.
    """
    if len(np.union1d(labels, chosen)) < 2:
        raise ValueError("all rows have one class")
    numbers = np.arange(num_classes)
    return float(sk.cohen_kappa_score(labels, chosen, labels=numbers, weights="quadratic"))


def log_loss(labels: Array, scores: Array) -> float:
    """The mean negative log-probability of the right class, in f64, with probabilities of 0 held at 1e-15."""
    scores = scores.astype(np.float64)
    table = np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores
    right = table[np.arange(len(labels)), labels.astype(np.int64)] / table.sum(axis=1)
    return float(0.0 - np.log(np.clip(right, 1e-15, 1.0)).mean())  # 0, not -0, where all are right


def _averaging(scores: Array) -> dict[str, Any]:
    return {"average": "binary" if scores.ndim == 1 else "macro", "zero_division": 0}


def _need_classes(labels: Array, needed: range | tuple[int, ...]) -> None:
    missing = sorted(set(needed) - set(np.unique(labels).tolist()))
    if missing:
        raise ValueError(f"no row has class {', '.join(map(str, missing))}")


CLASSIFICATION = {
    "accuracy": Metric(accuracy, higher_is_better=True, tasks=BOTH, decides=True),
    "balanced_accuracy": Metric(balanced_accuracy, higher_is_better=True, tasks=BOTH, decides=True),
    "f1": Metric(f1, higher_is_better=True, tasks=BOTH, decides=True),
    "f1_macro": Metric(f1_macro, higher_is_better=True, tasks=BOTH, decides=True),
    "precision": Metric(precision, higher_is_better=True, tasks=BOTH, decides=True),
    "recall": Metric(recall, higher_is_better=True, tasks=BOTH, decides=True),
    "roc_auc": Metric(roc_auc, higher_is_better=True, tasks=BOTH),
    "average_precision": Metric(average_precision, higher_is_better=True, tasks=BOTH),
    "log_loss": Metric(log_loss, higher_is_better=False, tasks=BOTH),
    "quadratic_kappa": Metric(
        quadratic_kappa, higher_is_better=True, tasks=("multiclass",), decides=True
    ),
    "matthews": Metric(matthews, higher_is_better=True, tasks=BOTH, decides=True),
}
