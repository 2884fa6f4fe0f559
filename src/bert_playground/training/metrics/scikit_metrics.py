"""scikit-learn's metrics by their names: those of every evaluation written out with equal bits, the others imported when asked for.

Importing scikit-learn takes two seconds, eight times what a tiny run trains.
"""

from typing import Any

import numpy as np

from bert_playground.training.metrics.metric import Array


def __getattr__(name: str) -> Any:
    from sklearn import metrics

    return getattr(metrics, name)


def accuracy_score(labels: Array, predictions: Array) -> float:
    """The part of the rows that is right."""
    _need_rows(labels)
    return float(np.mean(labels == predictions))


def f1_score(
    labels: Array, predictions: Array, *, average: str = "binary", zero_division: float = 0
) -> float:
    """F1 of class 1 ("binary"), the mean over classes or labels ("macro"), or that of all counts together ("micro").

    Args:
        labels: [N] classes, or [N, L] zeros and ones.
        predictions: the same.
        average: see above.
        zero_division: F1 of what is neither there nor predicted.
    """
    _need_rows(labels)
    if average == "binary":
        labels, predictions = labels == 1, predictions == 1
        counts = ((labels & predictions).sum(), labels.sum() + predictions.sum())
        right, both = (np.array([count], dtype=np.float64) for count in counts)
    else:
        right, both = _count(labels, predictions)
    if average == "micro":
        right, both = right.sum(keepdims=True), both.sum(keepdims=True)
    scores = np.where(both == 0, zero_division, 2 * right / np.where(both == 0, 1, both))
    return float(np.average(scores))


def roc_auc_score(labels: Array, scores: Array) -> float:
    """Area under the ROC curve of two classes, both of which have rows."""
    _need_finite(scores)
    order = np.argsort(scores, kind="stable")[::-1]
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(labels[order] == 1, dtype=np.float64)[ends]
    alarms = 1 + ends - hits
    if len(ends) > 2:  # points on a straight line between their neighbours add nothing but rounding
        is_corner = (np.diff(hits, 2) != 0) | (np.diff(alarms, 2) != 0)
        kept = np.concatenate([[True], is_corner, [True]])
        hits, alarms = hits[kept], alarms[kept]
    y, x = (np.append(0.0, counts) / counts[-1] for counts in (hits, alarms))
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2.0).sum())


def quadratic_kappa(labels: Array, chosen: Array, num_classes: int) -> float:
    """`cohen_kappa_score` of classes 0..num_classes-1 with quadratic weights; there are two classes at least."""
    cells = labels.astype(np.int64) * num_classes + chosen
    shape = (num_classes, num_classes)
    confusion = np.bincount(cells, minlength=num_classes**2).reshape(shape).astype(np.float64)
    expected = np.outer(confusion.sum(axis=0), confusion.sum(axis=1)) / confusion.sum()
    numbers = np.arange(num_classes, dtype=np.float64)
    distances = (numbers - numbers[:, None]) ** 2
    return float(1 - (distances * confusion).sum() / (distances * expected).sum())


def mean_squared_error(labels: Array, scores: Array) -> float:
    """The mean squared error over rows and steps."""
    labels, scores = _as_columns(labels, scores)
    return float(np.average(np.average((labels - scores) ** 2, axis=0)))


def mean_absolute_error(labels: Array, scores: Array) -> float:
    """The mean absolute error over rows and steps."""
    labels, scores = _as_columns(labels, scores)
    return float(np.average(np.average(np.abs(scores - labels), axis=0)))


def r2_score(labels: Array, scores: Array) -> float:
    """The part of the variance that is explained, the mean over steps; a step that does not vary has 1 if all is right, else 0."""
    labels, scores = _as_columns(labels, scores)
    errors = ((labels - scores) ** 2).sum(axis=0)
    variation = ((labels - np.average(labels, axis=0)) ** 2).sum(axis=0)
    parts = np.ones(len(errors), dtype=errors.dtype)
    is_usual = (errors != 0) & (variation != 0)
    parts[is_usual] = 1 - errors[is_usual] / variation[is_usual]
    parts[(errors != 0) & (variation == 0)] = 0.0
    return float(np.average(parts))


def _count(labels: Array, predictions: Array) -> tuple[Array, Array]:
    """Of each class or label: how often it is rightly predicted, and how often it is there plus how often predicted."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        right, both = (labels * predictions).sum(axis=0), (labels + predictions).sum(axis=0)
        return right.astype(np.float64), both.astype(np.float64)
    present, places = np.unique(np.concatenate([labels, predictions]).ravel(), return_inverse=True)
    there, predicted = places[: labels.size], places[labels.size :]
    counted = there[there == predicted], places
    right, both = (np.bincount(each, minlength=len(present)) for each in counted)
    return right.astype(np.float64), both.astype(np.float64)


def _as_columns(labels: Array, scores: Array) -> tuple[Array, Array]:
    """Both as [N, T] in the wider of their types of float."""
    _need_finite(labels)
    _need_finite(scores)
    floats = [array.dtype for array in (labels, scores) if array.dtype.kind == "f"]
    dtype = np.result_type(*floats) if floats else np.dtype(np.float64)
    first, second = (array.astype(dtype).reshape(len(array), -1) for array in (labels, scores))
    return first, second


def _need_rows(labels: Array) -> None:
    if not len(labels):
        raise ValueError("there are no rows")


def _need_finite(values: Array) -> None:
    _need_rows(values)
    if not np.isfinite(values).all():
        raise ValueError("some values are not finite")
